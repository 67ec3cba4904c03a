//! The command as a process: exit codes, pipes that close, standard input.

use std::io::Write;
use std::process::{Command, Stdio};

fn command() -> Command {
    Command::new(env!("CARGO_BIN_EXE_eggrad"))
}

#[test]
fn exit_codes_and_streams() {
    let done =
        command().args(["diff", "w^3", "--wrt", "w", "--set", "w=2"]).output().expect("runs");
    assert_eq!(done.status.code(), Some(0));
    let text = String::from_utf8(done.stdout).expect("text");
    assert_eq!(text, "3*w^2\nat w = 2: 12\nfinite difference, eps = 0.001: 12.006001\n");
    assert!(done.stderr.is_empty());
    let wrong = command().args(["diff", "w^", "--wrt", "w"]).output().expect("runs");
    assert_eq!((wrong.status.code(), wrong.stdout.len()), (Some(1), 0));
    let usage = command().args(["diff"]).output().expect("runs");
    assert_eq!(usage.status.code(), Some(2));
}

#[test]
fn a_reader_that_leaves_is_no_mistake() {
    let mut child = command()
        .args(["print", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    drop(child.stdout.take());
    let mut stdin = child.stdin.take().expect("a standard input");
    stdin.write_all(b"x*2 + y").expect("reads");
    drop(stdin);
    let done = child.wait_with_output().expect("ends");
    assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stderr));
}

//! Files that are written whole or not at all.
//!
//! The bytes go to a temporary file in the same folder, which is brought to the disk, renamed over the target, and
//! made to last by bringing the folder to the disk. Whoever opens the target, during the write or after a crash at
//! any moment, finds the old file or the new one.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// Why a file could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} `{}`: {source}", path.display())]
pub struct FileError {
    /// What was tried: `read` or `write`.
    pub action: &'static str,
    /// The file.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

impl FileError {
    /// A file that could not be read.
    pub fn read(path: &Path, source: io::Error) -> FileError {
        FileError { action: "read", path: path.to_path_buf(), source }
    }

    /// A file that could not be written.
    pub fn write(path: &Path, source: io::Error) -> FileError {
        FileError { action: "write", path: path.to_path_buf(), source }
    }
}

/// Makes `path` a file of what `write` writes, or leaves it as it was.
///
/// A link stays one: the file it leads to is written. What writers that were killed left beside the file is removed.
///
/// # Errors
/// When the folder does not exist or cannot be written to, the disk is full, or `write` fails.
pub fn write_atomic(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), FileError> {
    replace(path, write).map_err(|source| FileError::write(path, source))
}

fn replace(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let name = target.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let prefix = format!(".{}.", name.to_string_lossy());
    let folder = match target.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    remove_left_over(folder, &prefix);
    let mut temporary = lock(folder, &prefix)?;
    {
        let mut file = BufWriter::with_capacity(1 << 18, temporary.as_file_mut());
        write(&mut file)?;
        file.flush()?;
    }
    if let Ok(old) = fs::metadata(&target) {
        temporary.as_file().set_permissions(old.permissions())?;
    }
    temporary.as_file().sync_all()?;
    temporary.persist(&target).map_err(|e| e.error)?;
    sync_folder(folder)
}

const SUFFIX: &str = ".tmp";

/// A temporary file of our own. Its lock says that its writer lives; a file system without locks does without.
fn lock(folder: &Path, prefix: &str) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(prefix).suffix(SUFFIX);
    #[cfg(unix)]
    {
        // As of any new file; what the user's mask forbids is taken away.
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    loop {
        let file = builder.tempfile_in(folder)?;
        // Between making and locking, another writer may have taken it for one that was left over.
        let locked = file.as_file().try_lock();
        if !matches!(locked, Err(fs::TryLockError::WouldBlock)) && file.path().exists() {
            return Ok(file);
        }
    }
}

/// Removes temporary files of writers that no longer live; what cannot be removed does no harm.
fn remove_left_over(folder: &Path, prefix: &str) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let ours = name.to_str().is_some_and(|n| n.starts_with(prefix) && n.ends_with(SUFFIX));
        if ours
            && let Ok(file) = File::options().write(true).open(entry.path())
            && file.try_lock().is_ok()
        {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Makes a rename in `folder` last; elsewhere than on Unix the system does so by itself.
fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

/// The bytes of a file, unpacked if they are gzip data.
///
/// # Errors
/// When the file cannot be read, or has more than `limit` bytes, packed or unpacked.
pub fn read_file(path: &Path, limit: usize) -> Result<Vec<u8>, FileError> {
    let fail = |source| FileError::read(path, source);
    let file = File::open(path).map_err(fail)?;
    let mut bytes = vec![];
    io::Read::read_to_end(&mut io::Read::take(file, (limit as u64).saturating_add(1)), &mut bytes)
        .map_err(fail)?;
    let wrong = |message: String| fail(io::Error::new(io::ErrorKind::InvalidData, message));
    if bytes.len() > limit {
        return Err(wrong(format!("it has more than the {limit} bytes allowed")));
    }
    if bytes.starts_with(&[0x1f, 0x8b]) {
        bytes = crate::gunzip(&bytes, limit).map_err(|e| wrong(e.to_string()))?;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> =
            entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_replaced_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        write_atomic(&path, |f| f.write_all(b"old")).unwrap();
        let error = write_atomic(&path, |f| {
            f.write_all(b"half of the ne")?;
            Err(io::Error::other("no more"))
        });
        let message = error.unwrap_err().to_string();
        assert!(message.starts_with("cannot write `") && message.ends_with("no more"), "{message}");
        assert_eq!(fs::read(&path).unwrap(), b"old");
        write_atomic(&path, |f| f.write_all(b"new")).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(names(folder.path()), ["a.txt"]);
    }

    #[test]
    fn what_dead_writers_left_is_removed_and_what_others_write_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        fs::write(folder.path().join(".a.txt.dead.tmp"), "half").unwrap();
        fs::write(folder.path().join(".b.txt.dead.tmp"), "half").unwrap();
        let alive = lock(folder.path(), ".a.txt.").unwrap();
        write_atomic(&path, |f| f.write_all(b"new")).unwrap();
        let alive_name = alive.path().file_name().unwrap().to_str().unwrap().to_string();
        let mut expected = vec![alive_name, ".b.txt.dead.tmp".into(), "a.txt".into()];
        expected.sort();
        assert_eq!(names(folder.path()), expected);
    }

    #[test]
    fn many_writers_at_once_leave_one_whole_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.bin");
        std::thread::scope(|scope| {
            for writer in 0..4u8 {
                let path = &path;
                scope.spawn(move || {
                    for _ in 0..20 {
                        write_atomic(path, |f| f.write_all(&[writer; 10_000])).unwrap();
                    }
                });
            }
        });
        let bytes = fs::read(&path).unwrap();
        assert!(bytes.len() == 10_000 && bytes.iter().all(|&b| b == bytes[0]));
        assert_eq!(names(folder.path()), ["a.bin"]);
    }

    #[cfg(unix)]
    #[test]
    fn permissions_and_links_stay() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("a.txt"), folder.path().join("link"));
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        write_atomic(&link, |f| f.write_all(b"new")).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    }

    #[test]
    fn files_are_read_up_to_a_limit_and_unpacked() {
        let folder = tempfile::tempdir().unwrap();
        let (plain, packed) = (folder.path().join("a"), folder.path().join("a.gz"));
        fs::write(&plain, [7; 100]).unwrap();
        let mut encoder = flate2::write::GzEncoder::new(vec![], flate2::Compression::best());
        encoder.write_all(&[7; 100]).unwrap();
        fs::write(&packed, encoder.finish().unwrap()).unwrap();
        for path in [&plain, &packed] {
            assert_eq!(read_file(path, 100).unwrap(), [7; 100]);
            assert!(read_file(path, 99).unwrap_err().to_string().contains("99 bytes allowed"));
        }
        let missing = read_file(&folder.path().join("b"), 10).unwrap_err().to_string();
        assert!(missing.starts_with("cannot read `") && missing.contains("b`: "), "{missing}");
    }
}

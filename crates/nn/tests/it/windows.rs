//! Convolution, pooling and picking by place, against loops written out.

use crate::common::{counting, errors, value};
use eggrad_ir::DType;
use eggrad_nn::{Padding, Sliding};

/// A convolution of one row of one channel, `x` and `w` counting from 1.
fn by_hand(
    n: usize,
    k: usize,
    low: usize,
    high: usize,
    stride: usize,
    dilation: usize,
) -> Vec<f64> {
    let at = |i: usize| if (low..low + n).contains(&i) { (i - low + 1) as f64 } else { 0.0 };
    let span = dilation * (k - 1) + 1;
    let windows = (n + low + high - span) / stride + 1;
    let tap = |o: usize, j: usize| at(o * stride + j * dilation) * (j + 1) as f64;
    (0..windows).map(|o| (0..k).map(|j| tap(o, j)).sum()).collect()
}

#[test]
fn convolution_along_one_axis() {
    for (n, k, stride, dilation, around) in
        [(7, 3, 1, 1, (0, 0)), (8, 3, 2, 1, (1, 2)), (9, 2, 3, 4, (0, 1)), (5, 5, 1, 1, (4, 4))]
    {
        let sliding = Sliding::default()
            .stride([stride])
            .dilation([dilation])
            .padding(Padding::Around([around]));
        let (shape, values) =
            value(|g| counting(g, "x", &[1, n, 1]).conv1d(counting(g, "w", &[k, 1, 1]), sliding));
        let expected = by_hand(n, k, around.0, around.1, stride, dilation);
        assert_eq!((shape, values), (vec![1, expected.len(), 1], expected));
    }
}

#[test]
fn same_padding_puts_the_odd_position_last() {
    let sliding = Sliding::default().stride([2]).same();
    // Four positions, windows of three, two apart: one position of padding, after the end.
    check!(
        |g| counting(g, "x", &[1, 4, 1]).conv1d(counting(g, "w", &[3, 1, 1]), sliding),
        [1, 2, 1],
        by_hand(4, 3, 0, 1, 2, 1)
    );
    let (shape, _) = value(|g| {
        counting(g, "x", &[1, 5, 7, 1])
            .conv2d(counting(g, "w", &[3, 2, 1, 4]), Sliding::default().stride([2, 3]).same())
    });
    assert_eq!(shape, [1, 3, 3, 4]);
}

#[test]
fn channels_mix_within_their_group_only() {
    // Two channels in two groups: each output channel sees its own.
    check!(
        |g| counting(g, "x", &[1, 2, 2, 2])
            .conv2d(counting(g, "w", &[1, 1, 1, 2]), Sliding::default()),
        [1, 2, 2, 2],
        [1.0, 4.0, 3.0, 8.0, 5.0, 12.0, 7.0, 16.0]
    );
    // One group: both channels are summed into one.
    check!(
        |g| counting(g, "x", &[1, 2, 2, 2])
            .conv2d(counting(g, "w", &[1, 1, 2, 1]), Sliding::default()),
        [1, 2, 2, 1],
        [5.0, 11.0, 17.0, 23.0]
    );
}

#[test]
fn pools() {
    let two = Sliding::default().stride([2, 2]);
    check!(
        |g| counting(g, "x", &[1, 4, 4, 1]).max_pool2d([2, 2], two),
        [1, 2, 2, 1],
        [6.0, 8.0, 14.0, 16.0]
    );
    check!(
        |g| counting(g, "x", &[1, 4, 4, 1]).avg_pool2d([2, 2], two),
        [1, 2, 2, 1],
        [3.5, 5.5, 11.5, 13.5]
    );
    // Padding is never the largest, and does not count in a mean.
    let same = Sliding::default().stride([2]).same();
    check!(|g| -counting(g, "x", &[1, 3, 1]).max_pool1d([2], same), [1, 2, 1], [-2.0, -3.0]);
    check!(|g| (-counting(g, "x", &[1, 3, 1])).max_pool1d([2], same), [1, 2, 1], [-1.0, -3.0]);
    check!(|g| counting(g, "x", &[1, 3, 1]).avg_pool1d([2], same), [1, 2, 1], [1.5, 3.0]);
}

#[test]
fn elements_by_place() {
    check!(
        |g| {
            let at = counting(g, "i", &[2, 1]).cast(DType::I32);
            counting(g, "x", &[2, 3]).take_along(at, 1)
        },
        [2, 1],
        [2.0, 6.0]
    );
    check!(
        |g| {
            let at = (counting(g, "i", &[1, 3]) - 2.0).maximum(0.0).cast(DType::I32);
            counting(g, "x", &[2, 3]).take_along(at, 0)
        },
        [1, 3],
        [1.0, 2.0, 6.0]
    );
    check!(
        |g| {
            let at = (counting(g, "i", &[3]) * 0.5).cast(DType::I32);
            counting(g, "x", &[3, 2]).scatter_add(at, 3)
        },
        [3, 2],
        [1.0, 2.0, 8.0, 10.0, 0.0, 0.0]
    );
}

#[test]
fn wrong_windows_say_what_and_how() {
    let cases: [(Vec<String>, &str); 6] = [
        (
            errors(|g| g.input("x", [1, 4, 1]).conv1d(g.input("w", [5, 1, 1]), Sliding::default())),
            "windows that span 5 positions of spatial axis 0, which has 4",
        ),
        (
            errors(|g| g.input("x", [1, 4, 3]).conv1d(g.input("w", [2, 2, 1]), Sliding::default())),
            "3 channels has a weight for 2 channels in",
        ),
        (
            errors(|g| g.input("x", [4, 3]).conv1d(g.input("w", [2, 3, 1]), Sliding::default())),
            "takes 3 axes on each side",
        ),
        (
            errors(|g| {
                let sliding = Sliding::default().stride([0, 1]);
                g.input("x", [1, 4, 4, 1]).max_pool2d([2, 2], sliding)
            }),
            "sizes, strides and dilations are at least 1",
        ),
        (
            errors(|g| g.input_of("x", DType::I32, [1, 4, 1]).avg_pool1d([2], Sliding::default())),
            "takes floats, not i32",
        ),
        (
            errors(|g| g.input("x", [4]).windows([0], [5], [1], [1])),
            "windows of 5 positions 1 apart, more than axis 0 of [4] holds",
        ),
    ];
    for (errors, wanted) in cases {
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(errors[0].contains(wanted), "{}", errors[0]);
        assert!(errors[0].contains("windows.rs:"), "no place: {}", errors[0]);
        assert!(errors[0].contains("help: "), "no way out: {}", errors[0]);
    }
}

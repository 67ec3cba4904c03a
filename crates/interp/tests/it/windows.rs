//! Windows by their definition, and their adjoint.

use eggrad_interp::random::threefry;
use eggrad_interp::{Data, Precision, Tensor, run};
use eggrad_ir::{At, Builder, DType, NodeId, TensorType, Windows};

/// What `build` makes of one operand.
fn apply(x: &Tensor, build: impl FnOnce(&mut Builder, NodeId) -> NodeId) -> Tensor {
    let mut builder = Builder::new();
    let input = builder.declare_input("x", x.ty.clone(), None, At::Unknown);
    let y = build(&mut builder, input);
    builder.output("y", y);
    let graph = builder.build().unwrap();
    run(&graph, std::slice::from_ref(x), &[], Precision::AsWritten).unwrap().outputs.remove(0)
}

/// Numbers below `n`, one after the other.
struct Draws(u32);

impl Draws {
    fn below(&mut self, n: usize) -> usize {
        self.0 += 1;
        threefry([7, 7], [self.0, 0])[0] as usize % n
    }

    fn tensor(&mut self, ty: TensorType) -> Tensor {
        let values: Vec<f64> =
            (0..ty.shape.elements()).map(|_| self.below(41) as f64 - 20.0).collect();
        Tensor::from_values(ty, &values)
    }

    /// Windows that fit a shape, and the shape.
    fn windows(&mut self) -> (Vec<usize>, Windows) {
        let mut dims = vec![];
        let mut windows = Windows { axes: vec![], size: vec![], stride: vec![], dilation: vec![] };
        for axis in 0..1 + self.below(3) {
            if self.below(3) == 0 {
                dims.push(1 + self.below(3));
                continue;
            }
            let (size, stride, dilation) =
                (1 + self.below(4), 1 + self.below(4), 1 + self.below(3));
            windows.axes.push(axis);
            windows.size.push(size);
            windows.stride.push(stride);
            windows.dilation.push(dilation);
            dims.push((size - 1) * dilation + 1 + self.below(6));
        }
        (dims, windows)
    }
}

fn inner(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.ty, b.ty);
    a.to_f64s().iter().zip(b.to_f64s()).map(|(a, b)| a * b).sum()
}

#[test]
fn windows_hold_what_they_slide_over() {
    let windows =
        Windows { axes: vec![0, 2], size: vec![2, 2], stride: vec![2, 1], dilation: vec![1, 2] };
    let x = Tensor::new([4, 1, 3], Data::I32((0..12).collect()));
    let y = apply(&x, |b, x| b.window(x, windows.clone()));
    // [window 0..2, 1, window 0..1, position 0..2, position 0..2]
    let expected = Tensor::new([2, 1, 1, 2, 2], Data::I32(vec![0, 2, 3, 5, 6, 8, 9, 11]));
    assert_eq!(y, expected);
    let back = apply(&y, |b, y| b.fold(y, windows, vec![4, 3]));
    assert_eq!(back, Tensor::new([4, 1, 3], Data::I32(vec![0, 0, 2, 3, 0, 5, 6, 0, 8, 9, 0, 11])));

    let overlapping = Windows { axes: vec![0], size: vec![3], stride: vec![1], dilation: vec![1] };
    let x = Tensor::new([5], Data::Bool(vec![true, false, false, true, true]));
    let y = apply(&x, |b, x| b.window(x, overlapping.clone()));
    let (t, f) = (true, false);
    assert_eq!(y, Tensor::new([3, 3], Data::Bool(vec![t, f, f, f, f, t, f, t, t])));
    let ones = Tensor::new([4, 3], Data::U8(vec![100; 12]));
    let sums = apply(&ones, |b, x| b.fold(x, overlapping, vec![6]));
    assert_eq!(sums, Tensor::new([6], Data::U8(vec![100, 200, 44, 44, 200, 100])));
}

#[test]
fn windows_and_folds_are_adjoint() {
    let mut draws = Draws(0);
    for dtype in [DType::I64, DType::F64, DType::F32] {
        for _ in 0..150 {
            let (dims, windows) = draws.windows();
            let length: Vec<usize> = windows.axes.iter().map(|&a| dims[a]).collect();
            let x = draws.tensor(TensorType::new(dtype, dims.clone()));
            let wx = apply(&x, |b, x| b.window(x, windows.clone()));
            let y = draws.tensor(wx.ty.clone());
            let fy = apply(&y, |b, y| b.fold(y, windows.clone(), length));
            // Small whole numbers: sums are exact.
            assert_eq!(inner(&wx, &y), inner(&x, &fy), "{dims:?} {windows:?}");
        }
    }
}

#[test]
fn elements_of_windows_are_where_the_definition_says() {
    let mut draws = Draws(1 << 20);
    for _ in 0..100 {
        let (dims, w) = draws.windows();
        let ty = TensorType::new(DType::I32, dims);
        let x = draws.tensor(ty.clone());
        let y = apply(&x, |b, x| b.window(x, w.clone()));
        let (from, to) = (x.to_f64s(), y.to_f64s());
        let (strides, rank) = (ty.shape.strides(), ty.rank());
        for (number, &element) in to.iter().enumerate() {
            let mut rest = number;
            let mut at = vec![0; y.ty.rank()];
            for (axis, &size) in y.ty.shape.dims().iter().enumerate().rev() {
                (at[axis], rest) = (rest % size, rest / size);
            }
            let place = |axis: usize| match w.axes.iter().position(|&a| a == axis) {
                Some(i) => at[axis] * w.stride[i] + at[rank + i] * w.dilation[i],
                None => at[axis],
            };
            let offset: usize = (0..rank).map(|axis| place(axis) * strides[axis]).sum();
            assert_eq!(element, from[offset]);
        }
    }
}

#[test]
fn strides_that_are_never_taken_may_be_of_any_size() {
    let most = usize::MAX;
    let far = Windows { axes: vec![0], size: vec![1], stride: vec![most], dilation: vec![most] };
    let x = Tensor::new([3], Data::F32(vec![1.0, 2.0, 3.0]));
    let y = apply(&x, |b, x| b.window(x, far.clone()));
    assert_eq!(y, Tensor::new([1, 1], Data::F32(vec![1.0])));
    let back = apply(&y, |b, y| b.fold(y, far, vec![3]));
    assert_eq!(back, Tensor::new([3], Data::F32(vec![1.0, 0.0, 0.0])));
}

//! Arrays at the edge of machine code: borrowed ones for inputs and outputs, owned aligned ones for states.

use eggrad_ir::{DType, TensorType};
use eggrad_schedule::ALIGN;
use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::fmt;
use std::ptr::NonNull;

/// Zeroed bytes, aligned to [`ALIGN`] and padded to a multiple of it.
pub(crate) struct Bytes {
    ptr: NonNull<u8>,
    size: usize,
}

// SAFETY: the memory is owned by this value alone; access goes through `&self` and `&mut self`, or through raw
// pointers whose users make the same promise.
unsafe impl Send for Bytes {}
// SAFETY: as above; nothing is mutated through `&self`.
unsafe impl Sync for Bytes {}

impl Bytes {
    /// Ends the process if there is no memory, as small allocations do.
    pub(crate) fn zeroed(size: usize) -> Bytes {
        match Bytes::try_zeroed(size) {
            Some(bytes) => bytes,
            None => handle_alloc_error(Layout::new::<u8>()),
        }
    }

    /// `None` if there is no memory.
    pub(crate) fn try_zeroed(size: usize) -> Option<Bytes> {
        let layout = Bytes::layout(size)?;
        // SAFETY: the layout's size is not 0.
        let ptr = unsafe { alloc_zeroed(layout) };
        Some(Bytes { ptr: NonNull::new(ptr)?, size })
    }

    fn layout(size: usize) -> Option<Layout> {
        let padded = size.max(1).checked_next_multiple_of(ALIGN)?;
        Layout::from_size_align(padded, ALIGN).ok()
    }

    pub(crate) fn ptr(&self) -> *mut u8 {
        self.ptr.as_ptr()
    }

    pub(crate) fn size(&self) -> usize {
        self.size
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: `size` initialised bytes are owned by `self`, which is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.ptr(), self.size) }
    }
}

impl Drop for Bytes {
    fn drop(&mut self) {
        let Some(layout) = Bytes::layout(self.size) else { return };
        // SAFETY: allocated in `try_zeroed` with the same layout, and freed only here.
        unsafe { dealloc(self.ptr(), layout) }
    }
}

mod sealed {
    pub trait Sealed {}
}

/// A Rust type that is an element type of arrays.
pub trait Element: Copy + sealed::Sealed + 'static {
    /// Which one.
    const DTYPE: DType;
    /// The slice, borrowed.
    fn wrap(slice: &[Self]) -> ArrayRef<'_>;
    /// The slice, borrowed mutably.
    fn wrap_mut(slice: &mut [Self]) -> ArrayMut<'_>;
}

/// An owned array that machine code can read and update: 64-byte aligned, padded, zero (or false) when made.
pub struct Aligned {
    bytes: Bytes,
    dtype: DType,
    elements: usize,
}

impl Aligned {
    /// Zeros of a type.
    pub fn zeros(ty: &TensorType) -> Aligned {
        Aligned::with_len(ty.dtype, ty.shape.elements())
    }

    /// Zeros of a type; `None` if there is no memory.
    pub fn try_zeros(ty: &TensorType) -> Option<Aligned> {
        let elements = ty.shape.checked_elements()?;
        let bytes = Bytes::try_zeroed(elements.checked_mul(ty.dtype.bytes())?)?;
        Some(Aligned { bytes, dtype: ty.dtype, elements })
    }

    /// `elements` zeros.
    pub fn with_len(dtype: DType, elements: usize) -> Aligned {
        let size = elements.saturating_mul(dtype.bytes());
        Aligned { bytes: Bytes::zeroed(size), dtype, elements }
    }

    /// A copy of a slice.
    pub fn from_slice<T: Element>(slice: &[T]) -> Aligned {
        let mut array = Aligned::with_len(T::DTYPE, slice.len());
        if let Some(target) = array.as_mut_slice() {
            target.copy_from_slice(slice);
        }
        array
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.elements
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.elements == 0
    }

    /// The elements, if they are `T`s.
    pub fn as_slice<T: Element>(&self) -> Option<&[T]> {
        (T::DTYPE == self.dtype).then(|| {
            // SAFETY: `elements` initialised elements of type `T`, aligned to 64 bytes, owned by `self`; the bytes
            // of a `bool` array are written only as `bool`s, here and by machine code.
            unsafe { std::slice::from_raw_parts(self.bytes.ptr().cast::<T>(), self.elements) }
        })
    }

    /// The elements, if they are `T`s.
    pub fn as_mut_slice<T: Element>(&mut self) -> Option<&mut [T]> {
        (T::DTYPE == self.dtype).then(|| {
            // SAFETY: as in `as_slice`, and `self` is borrowed mutably.
            unsafe { std::slice::from_raw_parts_mut(self.bytes.ptr().cast::<T>(), self.elements) }
        })
    }

    pub(crate) fn ptr(&self) -> *mut u8 {
        self.bytes.ptr()
    }
}

impl Clone for Aligned {
    fn clone(&self) -> Aligned {
        let copy = Aligned::with_len(self.dtype, self.elements);
        // SAFETY: both hold `size` bytes and were allocated apart from each other.
        unsafe { self.ptr().copy_to_nonoverlapping(copy.ptr(), self.bytes.size()) };
        copy
    }
}

impl fmt::Debug for Aligned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&ArrayRef::from(self), f)
    }
}

macro_rules! elements {
    ($($Type:ident $Variant:ident $view:ident $view_mut:ident;)*) => {
        /// A borrowed array of any element type, row-major.
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub enum ArrayRef<'a> {
            $(#[doc = concat!("Elements of type `", stringify!($Type), "`.")] $Variant(&'a [$Type]),)*
        }

        /// A mutably borrowed array of any element type, row-major.
        #[derive(Debug, PartialEq)]
        pub enum ArrayMut<'a> {
            $(#[doc = concat!("Elements of type `", stringify!($Type), "`.")] $Variant(&'a mut [$Type]),)*
        }

        impl ArrayRef<'_> {
            /// Element type.
            pub fn dtype(&self) -> DType {
                match self { $(ArrayRef::$Variant(_) => DType::$Variant,)* }
            }

            /// Number of elements.
            pub fn len(&self) -> usize {
                match self { $(ArrayRef::$Variant(slice) => slice.len(),)* }
            }

            pub(crate) fn ptr(&self) -> *mut u8 {
                match self { $(ArrayRef::$Variant(slice) => slice.as_ptr().cast_mut().cast(),)* }
            }
        }

        impl ArrayMut<'_> {
            /// Element type.
            pub fn dtype(&self) -> DType {
                match self { $(ArrayMut::$Variant(_) => DType::$Variant,)* }
            }

            /// Number of elements.
            pub fn len(&self) -> usize {
                match self { $(ArrayMut::$Variant(slice) => slice.len(),)* }
            }

            pub(crate) fn ptr(&mut self) -> *mut u8 {
                match self { $(ArrayMut::$Variant(slice) => slice.as_mut_ptr().cast(),)* }
            }
        }

        impl<'a> From<&'a Aligned> for ArrayRef<'a> {
            fn from(array: &'a Aligned) -> ArrayRef<'a> {
                match array.dtype {
                    $(DType::$Variant => ArrayRef::$Variant(array.as_slice().unwrap_or(&[])),)*
                }
            }
        }

        impl<'a> From<&'a mut Aligned> for ArrayMut<'a> {
            fn from(array: &'a mut Aligned) -> ArrayMut<'a> {
                match array.dtype {
                    $(DType::$Variant => {
                        ArrayMut::$Variant(array.as_mut_slice().unwrap_or(&mut []))
                    })*
                }
            }
        }

        impl Aligned {
            $(
                #[doc = concat!("The elements, if they are `", stringify!($Type), "`s.")]
                pub fn $view(&self) -> Option<&[$Type]> {
                    self.as_slice()
                }

                #[doc = concat!("The elements, if they are `", stringify!($Type), "`s.")]
                pub fn $view_mut(&mut self) -> Option<&mut [$Type]> {
                    self.as_mut_slice()
                }
            )*
        }

        $(
            impl sealed::Sealed for $Type {}

            impl Element for $Type {
                const DTYPE: DType = DType::$Variant;
                fn wrap(slice: &[$Type]) -> ArrayRef<'_> {
                    ArrayRef::$Variant(slice)
                }
                fn wrap_mut(slice: &mut [$Type]) -> ArrayMut<'_> {
                    ArrayMut::$Variant(slice)
                }
            }
        )*
    };
}

elements! {
    f32 F32 as_f32 as_f32_mut;
    f64 F64 as_f64 as_f64_mut;
    i32 I32 as_i32 as_i32_mut;
    i64 I64 as_i64 as_i64_mut;
    u8 U8 as_u8 as_u8_mut;
    bool Bool as_bool as_bool_mut;
}

impl ArrayRef<'_> {
    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl ArrayMut<'_> {
    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<'a, T: Element> From<&'a [T]> for ArrayRef<'a> {
    fn from(slice: &'a [T]) -> ArrayRef<'a> {
        T::wrap(slice)
    }
}

impl<'a, T: Element> From<&'a mut [T]> for ArrayMut<'a> {
    fn from(slice: &'a mut [T]) -> ArrayMut<'a> {
        T::wrap_mut(slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aligned_arrays_are_zero_aligned_and_typed() {
        for dtype in DType::ALL {
            for shape in [vec![], vec![0], vec![3], vec![5, 13]] {
                let mut array = Aligned::zeros(&TensorType::new(dtype, shape.clone()));
                assert_eq!(array.ptr() as usize % ALIGN, 0);
                assert_eq!(array.len(), shape.iter().product());
                assert_eq!(ArrayRef::from(&array).dtype(), dtype);
                assert_eq!(ArrayMut::from(&mut array).len(), array.len());
                assert_eq!(array.as_f32().is_some(), dtype == DType::F32);
            }
        }
    }

    #[test]
    fn copies_are_apart() {
        let mut a = Aligned::from_slice(&[1i64, 2, 3]);
        let b = a.clone();
        a.as_i64_mut().unwrap()[1] = 7;
        assert_eq!(b.as_i64(), Some(&[1, 2, 3][..]));
        assert_eq!(format!("{a:?}"), "I64([1, 7, 3])");
    }
}

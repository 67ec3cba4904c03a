//! Arrays as files hold them: sizes of the axes, and elements of one type.

use eggrad_ir::DType;

/// An array.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// Sizes of the axes, outermost first.
    pub shape: Vec<usize>,
    /// As many elements as the sizes say.
    pub elements: Elements,
}

macro_rules! elements {
    ($($Type:ident $Variant:ident;)*) => {
        /// The elements of an array, row-major.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Elements {
            $(#[doc = concat!("Elements of type `", stringify!($Type), "`.")] $Variant(Vec<$Type>),)*
        }

        /// The elements of an array, borrowed, row-major.
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub enum ElementsRef<'a> {
            $(#[doc = concat!("Elements of type `", stringify!($Type), "`.")] $Variant(&'a [$Type]),)*
        }

        impl Elements {
            /// The elements, borrowed.
            pub fn view(&self) -> ElementsRef<'_> {
                match self { $(Elements::$Variant(list) => ElementsRef::$Variant(list),)* }
            }
        }

        impl ElementsRef<'_> {
            /// Type of an element.
            pub fn dtype(&self) -> DType {
                match self { $(ElementsRef::$Variant(_) => DType::$Variant,)* }
            }

            /// Number of elements.
            pub fn len(&self) -> usize {
                match self { $(ElementsRef::$Variant(list) => list.len(),)* }
            }

            /// Whether there are none.
            pub fn is_empty(&self) -> bool {
                self.len() == 0
            }
        }

        $(
            impl From<Vec<$Type>> for Elements {
                fn from(list: Vec<$Type>) -> Elements {
                    Elements::$Variant(list)
                }
            }

            impl<'a> From<&'a [$Type]> for ElementsRef<'a> {
                fn from(list: &'a [$Type]) -> ElementsRef<'a> {
                    ElementsRef::$Variant(list)
                }
            }
        )*
    };
}

elements! {
    f32 F32;
    f64 F64;
    i32 I32;
    i64 I64;
    u8 U8;
    bool Bool;
}

impl Array {
    /// An array of these elements, row-major; `None` unless there are as many as the sizes say.
    pub fn new(shape: impl Into<Vec<usize>>, elements: impl Into<Elements>) -> Option<Array> {
        let (shape, elements) = (shape.into(), elements.into());
        let count = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
        (count == Some(elements.view().len())).then_some(Array { shape, elements })
    }

    /// The elements as `f32`, rounded where they have more digits; true is 1.
    pub fn to_f32(&self) -> Vec<f32> {
        match &self.elements {
            Elements::F32(list) => list.clone(),
            Elements::F64(list) => list.iter().map(|&v| v as f32).collect(),
            Elements::I32(list) => list.iter().map(|&v| v as f32).collect(),
            Elements::I64(list) => list.iter().map(|&v| v as f32).collect(),
            Elements::U8(list) => list.iter().map(|&v| f32::from(v)).collect(),
            Elements::Bool(list) => list.iter().map(|&v| f32::from(u8::from(v))).collect(),
        }
    }

    /// The elements as class labels or indices; `None` if one is no whole number that an `i32` holds.
    pub fn to_i32(&self) -> Option<Vec<i32>> {
        let whole = |v: f64| (v as i32 as f64 == v).then_some(v as i32);
        match &self.elements {
            Elements::F32(list) => list.iter().map(|&v| whole(f64::from(v))).collect(),
            Elements::F64(list) => list.iter().map(|&v| whole(v)).collect(),
            Elements::I32(list) => Some(list.clone()),
            Elements::I64(list) => list.iter().map(|&v| i32::try_from(v).ok()).collect(),
            Elements::U8(list) => Some(list.iter().map(|&v| i32::from(v)).collect()),
            Elements::Bool(list) => Some(list.iter().map(|&v| i32::from(v)).collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_elements_agree() {
        assert!(Array::new([2, 3], vec![0u8; 6]).is_some());
        assert!(Array::new([2, 3], vec![0u8; 5]).is_none());
        assert!(Array::new([usize::MAX, 2], Vec::<u8>::new()).is_none());
        assert!(Array::new([], vec![1.0f32]).is_some());
    }

    #[test]
    fn elements_convert() {
        let floats = Array::new([3], vec![0.0f64, 1.0, -2.0]).unwrap();
        assert_eq!(floats.to_i32(), Some(vec![0, 1, -2]));
        assert_eq!(floats.to_f32(), [0.0, 1.0, -2.0]);
        for wrong in [0.5, f64::NAN, f64::INFINITY, 2147483648.0] {
            assert_eq!(Array::new([1], vec![wrong]).unwrap().to_i32(), None, "{wrong}");
        }
        assert_eq!(Array::new([1], vec![1i64 << 40]).unwrap().to_i32(), None);
        assert_eq!(Array::new([2], vec![true, false]).unwrap().to_f32(), [1.0, 0.0]);
    }
}

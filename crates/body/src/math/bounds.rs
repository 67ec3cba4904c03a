//! Error bounds of the math library, in units in the last place of the exact result.

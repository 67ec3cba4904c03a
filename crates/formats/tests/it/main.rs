//! Readers and writers from the outside: files that are right, and files that are not.

mod damaged;
mod safetensors;

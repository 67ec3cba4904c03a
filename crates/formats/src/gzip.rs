//! Gzip, bounded: a small file cannot claim all memory.

use flate2::read::MultiGzDecoder;
use std::io::Read;

/// Why bytes could not be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum GzipError {
    /// The stream is damaged or cut short.
    #[error("gzip data is damaged or cut short: {0}")]
    Damaged(#[from] std::io::Error),
    /// The content is larger than the caller allows.
    #[error("gzip data unpacks to more than the {limit} bytes allowed")]
    TooLarge {
        /// Bytes allowed.
        limit: usize,
    },
}

/// The content of gzip data, at most `limit` bytes.
///
/// # Errors
/// When the data is damaged, cut short, or unpacks to more than `limit` bytes.
pub fn gunzip(bytes: &[u8], limit: usize) -> Result<Vec<u8>, GzipError> {
    let mut content = vec![];
    let mut reader = MultiGzDecoder::new(bytes).take((limit as u64).saturating_add(1));
    reader.read_to_end(&mut content)?;
    if content.len() > limit {
        return Err(GzipError::TooLarge { limit });
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn packed(content: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(vec![], flate2::Compression::best());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn unpacks_up_to_the_limit() {
        let bytes = packed(&[7; 1000]);
        assert_eq!(gunzip(&bytes, 1000).unwrap(), [7; 1000]);
        assert!(matches!(gunzip(&bytes, 999), Err(GzipError::TooLarge { limit: 999 })));
    }

    #[test]
    fn every_truncation_is_an_error() {
        let bytes = packed(b"a short text, a short text, a short text");
        for length in 0..bytes.len() {
            let result = gunzip(&bytes[..length], 1 << 20);
            assert!(length == 0 || result.is_err(), "cut to {length} bytes");
        }
    }
}

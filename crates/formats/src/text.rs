//! Text files, and the characters of a text as numbers.

use std::collections::BTreeSet;

/// What is wrong with a text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TextError {
    /// Bytes that are no UTF-8.
    #[error("text: line {line} is no UTF-8 (byte {byte} of the file)")]
    Utf8 {
        /// Line, from 1.
        line: usize,
        /// Byte, from 0.
        byte: usize,
    },
    /// There is nothing in it.
    #[error("text: is empty")]
    Empty,
    /// A character that the vocabulary does not have.
    #[error("text: character {position} is {character:?}, which is not among the {known} known")]
    Unknown {
        /// Place of the character, from 0.
        position: usize,
        /// The character.
        character: char,
        /// Number of characters of the vocabulary.
        known: usize,
    },
    /// A number that stands for no character.
    #[error("text: {number} at place {position} stands for no character; there are {known}")]
    Number {
        /// Place of the number, from 0.
        position: usize,
        /// The number.
        number: i32,
        /// Number of characters of the vocabulary.
        known: usize,
    },
}

/// A text in UTF-8, without a byte-order mark, with `\n` at the end of each line.
///
/// # Errors
/// When it is empty or no UTF-8; the error names the line.
pub fn read_text(bytes: &[u8]) -> Result<String, TextError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let byte = error.valid_up_to();
        TextError::Utf8 { line: bytes[..byte].iter().filter(|&&b| b == b'\n').count() + 1, byte }
    })?;
    if text.is_empty() { Err(TextError::Empty) } else { Ok(text.replace("\r\n", "\n")) }
}

/// The characters of a text, numbered from 0 in the order of their code points.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vocabulary {
    characters: Vec<char>,
}

impl Vocabulary {
    /// The characters that occur in `text`.
    pub fn of(text: &str) -> Vocabulary {
        let characters: BTreeSet<char> = text.chars().collect();
        Vocabulary { characters: characters.into_iter().collect() }
    }

    /// Number of characters.
    pub fn len(&self) -> usize {
        self.characters.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.characters.is_empty()
    }

    /// All of them, in order: what [`Vocabulary::of`] makes the same vocabulary from.
    pub fn characters(&self) -> String {
        self.characters.iter().collect()
    }

    /// The numbers of the characters of `text`.
    ///
    /// # Errors
    /// When it has a character that is not known.
    pub fn encode(&self, text: &str) -> Result<Vec<i32>, TextError> {
        let number = |(position, character): (usize, char)| {
            let place = self.characters.binary_search(&character);
            let known = self.len();
            place.map(|p| p as i32).map_err(|_| TextError::Unknown { position, character, known })
        };
        text.chars().enumerate().map(number).collect()
    }

    /// The text that these numbers stand for.
    ///
    /// # Errors
    /// When a number stands for no character.
    pub fn decode(&self, numbers: &[i32]) -> Result<String, TextError> {
        let character = |(position, &number): (usize, &i32)| {
            let character = usize::try_from(number).ok().and_then(|n| self.characters.get(n));
            let known = self.len();
            character.copied().ok_or(TextError::Number { position, number, known })
        };
        numbers.iter().enumerate().map(character).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_become_numbers_and_back() {
        let text = read_text("\u{feff}ab\r\nß—a".as_bytes()).unwrap();
        assert_eq!(text, "ab\nß—a");
        let vocabulary = Vocabulary::of(&text);
        assert_eq!(vocabulary.len(), 5);
        assert_eq!(Vocabulary::of(&vocabulary.characters()), vocabulary);
        let numbers = vocabulary.encode(&text).unwrap();
        assert_eq!(numbers, [1, 2, 0, 3, 4, 1]);
        assert_eq!(vocabulary.decode(&numbers).unwrap(), text);
    }

    #[test]
    fn faults_name_the_place() {
        assert_eq!(read_text(b"").unwrap_err().to_string(), "text: is empty");
        assert_eq!(
            read_text(b"a\nb\xff").unwrap_err().to_string(),
            "text: line 2 is no UTF-8 (byte 3 of the file)"
        );
        let vocabulary = Vocabulary::of("ab");
        assert_eq!(
            vocabulary.encode("abc").unwrap_err().to_string(),
            "text: character 2 is 'c', which is not among the 2 known"
        );
        let number = |n| vocabulary.decode(&[0, n]).unwrap_err().to_string();
        assert_eq!(number(2), "text: 2 at place 1 stands for no character; there are 2");
        assert!(number(-1).contains("-1 at place 1"));
    }
}

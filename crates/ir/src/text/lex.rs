//! Splits a text into tokens, each with its place.

use crate::error::TypeError;
use crate::types::At;

/// What can go wrong while reading; the error names line and column.
pub(super) type Parsed<T> = Result<T, TypeError>;

/// One word or sign of a text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind<'a> {
    /// A name, a keyword or the name of an op.
    Name(&'a str),
    /// A name between backticks.
    Quoted(&'a str),
    /// The label of a node, with its `%`.
    Label(&'a str),
    /// A number without sign.
    Number(&'a str),
    /// An operator, bracket or other sign.
    Symbol(&'static str),
    /// What follows the last token.
    End,
}

/// A token and where it begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind<'a>,
    pub(super) at: At,
}

impl Token<'_> {
    /// How an error message shows the token.
    pub(super) fn shown(&self) -> String {
        match self.kind {
            Kind::Name(s) | Kind::Label(s) | Kind::Number(s) => format!("`{s}`"),
            Kind::Quoted(s) => format!("the name `{s}`"),
            Kind::Symbol(s) => format!("`{s}`"),
            Kind::End => "the end of the line".to_string(),
        }
    }
}

/// Signs, longer ones before those they begin with.
const SYMBOLS: [&str; 23] = [
    "**", "<=", ">=", "==", "!=", "+", "-", "*", "/", "^", "@", "<", ">", "=", "(", ")", "[", "]",
    "{", "}", ",", ":", "|",
];

/// Words that are no names unless they stand between backticks.
const RESERVED: [&str; 17] = [
    "graph", "fn", "in", "out", "write", "guard", "param", "frozen", "slot", "stat", "counter",
    "and", "or", "not", "true", "false", "inf",
];

/// Whether `word` is a keyword or a literal.
pub(super) fn is_reserved(word: &str) -> bool {
    RESERVED.contains(&word) || word == "nan"
}

/// A name as it stands in a text: between backticks unless it is a plain word.
pub(super) fn quoted(name: &str) -> String {
    let plain = name.chars().all(in_name) && name.chars().next().is_some_and(begins_name);
    if plain && !is_reserved(name) { name.to_string() } else { format!("`{name}`") }
}

fn begins_name(c: char) -> bool {
    c.is_alphabetic() || c == '_'
}

fn in_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '.'
}

/// An error about the text itself.
pub(super) fn error<T>(at: At, message: impl Into<String>, help: impl Into<String>) -> Parsed<T> {
    Err(TypeError::new("text", at, message, help))
}

/// The text not yet read, and its place.
struct Rest<'a> {
    text: &'a str,
    line: u32,
    column: u32,
}

impl<'a> Rest<'a> {
    fn at(&self) -> At {
        At::Text { line: self.line, column: self.column }
    }

    /// The next `bytes`, which are passed over.
    fn take(&mut self, bytes: usize) -> &'a str {
        let (word, text) = self.text.split_at(bytes);
        self.text = text;
        self.column = self.column.saturating_add(word.chars().count() as u32);
        word
    }

    fn skip_blanks(&mut self) {
        while let Some(c) = self.text.chars().next() {
            match c {
                '\n' => {
                    self.text = &self.text[1..];
                    self.line += 1;
                    self.column = 1;
                }
                ';' => {
                    let end = self.text.find('\n').unwrap_or(self.text.len());
                    self.take(end);
                }
                c if c.is_whitespace() => {
                    self.take(c.len_utf8());
                }
                _ => return,
            }
        }
    }
}

/// Tokens of `text`, which begins at line `line`; comments begin with `;`.
pub(super) fn lex(text: &str, line: u32) -> Parsed<Vec<Token<'_>>> {
    let mut rest = Rest { text, line, column: 1 };
    let mut tokens = vec![];
    loop {
        rest.skip_blanks();
        let at = rest.at();
        let Some(first) = rest.text.chars().next() else {
            tokens.push(Token { kind: Kind::End, at });
            return Ok(tokens);
        };
        let kind = if begins_name(first) {
            Kind::Name(word(&mut rest))
        } else if first.is_ascii_digit() || first == '.' {
            Kind::Number(number(&mut rest)?)
        } else if first == '%' {
            let end = rest.text[1..].find(|c: char| !in_name(c)).map(|i| i + 1);
            match end.unwrap_or(rest.text.len()) {
                1 => return error(at, "has a `%` alone", "labels are `%` and a number or word"),
                end => Kind::Label(rest.take(end)),
            }
        } else if first == '`' {
            match rest.text[1..].find('`') {
                Some(end) => {
                    let quoted = rest.take(end + 2);
                    Kind::Quoted(&quoted[1..=end])
                }
                None => return error(at, "lacks the second backtick of a name", "add it"),
            }
        } else if let Some(symbol) = SYMBOLS.iter().find(|s| rest.text.starts_with(**s)) {
            rest.take(symbol.len());
            Kind::Symbol(symbol)
        } else {
            return error(at, format!("has no sign {first:?}"), "remove it");
        };
        tokens.push(Token { kind, at });
    }
}

fn word<'a>(rest: &mut Rest<'a>) -> &'a str {
    let end = rest.text.find(|c| !in_name(c)).unwrap_or(rest.text.len());
    rest.take(end)
}

/// Digits with point and exponent, or `0x` and the 16 digits of a float's bits.
fn number<'a>(rest: &mut Rest<'a>) -> Parsed<&'a str> {
    let at = rest.at();
    let bytes = rest.text.as_bytes();
    let digits =
        |from: usize| from + bytes[from..].iter().take_while(|b| b.is_ascii_digit()).count();
    let mut end = digits(0);
    if rest.text.starts_with("0x") {
        end = 2 + bytes[2..].iter().take_while(|b| b.is_ascii_hexdigit()).count();
    } else {
        if bytes.get(end) == Some(&b'.') {
            end = digits(end + 1);
        }
        if matches!(bytes.get(end), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
            let last = digits(end + 1 + sign);
            if last > end + 1 + sign {
                end = last;
            }
        }
    }
    let whole = end + rest.text[end..].find(|c| !in_name(c)).unwrap_or(rest.text.len() - end);
    let text = &rest.text[..whole];
    if whole > end || text == "." || text.starts_with("0x") && text.len() != 18 {
        return error(at, format!("has no number `{text}`"), "numbers are like 2, 0.5 or 1e-3");
    }
    Ok(rest.take(whole))
}

/// Tokens, read one by one.
pub(super) struct Tokens<'a> {
    list: Vec<Token<'a>>,
    next: usize,
}

impl<'a> Tokens<'a> {
    /// The tokens of `text`, which begins at line `line`.
    pub(super) fn new(text: &'a str, line: u32) -> Parsed<Tokens<'a>> {
        Ok(Tokens { list: lex(text, line)?, next: 0 })
    }

    /// The token after the next `ahead`.
    pub(super) fn peek_at(&self, ahead: usize) -> Token<'a> {
        self.list[(self.next + ahead).min(self.list.len() - 1)]
    }

    /// The next token.
    pub(super) fn peek(&self) -> Token<'a> {
        self.peek_at(0)
    }

    /// The next token, which is passed over; the end stays.
    pub(super) fn take(&mut self) -> Token<'a> {
        let token = self.peek();
        self.next = (self.next + 1).min(self.list.len() - 1);
        token
    }

    /// Passes over `symbol` if it comes next.
    pub(super) fn eat(&mut self, symbol: &str) -> bool {
        let found = matches!(self.peek().kind, Kind::Symbol(s) if s == symbol);
        if found {
            self.take();
        }
        found
    }

    /// Passes over `symbol`, which must come next.
    pub(super) fn expect(&mut self, symbol: &str) -> Parsed<()> {
        if self.eat(symbol) { Ok(()) } else { self.wanted(&format!("`{symbol}`")) }
    }

    /// Whether the next token is the keyword `word`.
    pub(super) fn eat_word(&mut self, word: &str) -> bool {
        let found = self.peek().kind == Kind::Name(word);
        if found {
            self.take();
        }
        found
    }

    /// The name that comes next; a keyword is none.
    pub(super) fn name(&mut self, what: &str) -> Parsed<(&'a str, At)> {
        let token = self.peek();
        match token.kind {
            Kind::Name(name) if !is_reserved(name) => {
                self.take();
                Ok((name, token.at))
            }
            Kind::Quoted(name) => {
                self.take();
                Ok((name, token.at))
            }
            Kind::Name(name) => error(
                token.at,
                format!("needs {what} here, and `{name}` is a keyword"),
                "write a name that is a keyword between backticks",
            ),
            Kind::Label(_) | Kind::Number(_) | Kind::Symbol(_) | Kind::End => self.wanted(what),
        }
    }

    /// The error that `what` does not come next.
    pub(super) fn wanted<T>(&self, what: &str) -> Parsed<T> {
        let token = self.peek();
        error(
            token.at,
            format!("needs {what} here, not {}", token.shown()),
            "see the page on the text form",
        )
    }

    /// Whether the line ends with `symbol`.
    pub(super) fn ends_with(&self, symbol: &str) -> bool {
        let last = self.list.len().checked_sub(2).map(|last| self.list[last].kind);
        matches!(last, Some(Kind::Symbol(s)) if s == symbol)
    }

    /// Whether nothing is left.
    pub(super) fn at_end(&self) -> bool {
        self.peek().kind == Kind::End
    }

    /// Fails if anything is left.
    pub(super) fn expect_end(&self) -> Parsed<()> {
        if self.at_end() {
            return Ok(());
        }
        let token = self.peek();
        error(token.at, format!("goes on with {}", token.shown()), "end the line before it")
    }
}

//! Reads a whole text: declarations, functions, statements and results; collects every error.

use super::VERSION;
use super::elaborate::{Found, Scope, elaborate, float_of, nearest};
use super::lex::{Kind, Parsed, Tokens, error};
use super::syntax::Tree;
use super::value::{number, tensor_type};
use crate::error::{TypeError, TypeErrors};
use crate::function::Function;
use crate::graph::{Builder, Graph, NodeId, StateKind};
use crate::types::{At, DType, TensorType};
use crate::verify::{check_range, is_name};
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::str::FromStr;
use std::sync::Arc;

/// Errors after which reading stops.
const MAX_ERRORS: usize = 100;

/// Names among which one like an unknown one is looked for.
const MAX_SEARCHED: usize = 1000;

impl FromStr for Graph {
    type Err = TypeErrors;

    fn from_str(text: &str) -> Result<Graph, TypeErrors> {
        let mut parser = Parser {
            text,
            errors: vec![],
            functions: HashMap::new(),
            outer: Body::default(),
            inner: None,
            around: vec![],
            line: 0,
        };
        if let Err(error) = parser.read() {
            parser.errors.push(error);
        }
        if !parser.errors.is_empty() {
            return Err(TypeErrors(parser.errors));
        }
        parser.outer.builder.build()
    }
}

/// A graph under construction: the whole, or a function.
#[derive(Default)]
struct Body {
    builder: Builder,
    /// Values by name; none for what an error kept from being made.
    names: HashMap<String, Option<NodeId>>,
    outputs: HashSet<String>,
    written: HashSet<NodeId>,
    guarded: bool,
    float: Option<DType>,
    /// Whether a value could not be made.
    failed: bool,
}

/// What the line that opened a function said.
struct Header {
    name: String,
    vjp: Option<(String, At)>,
    at: At,
    /// Number of errors before it; none for a function that cannot be made.
    errors: Option<usize>,
}

struct Parser<'a> {
    text: &'a str,
    errors: Vec<TypeError>,
    /// Functions by name; none for what an error kept from being made.
    functions: HashMap<String, Option<Arc<Function>>>,
    outer: Body,
    inner: Option<(Body, Header)>,
    /// Functions around the inner one, outermost first; they cannot be made.
    around: Vec<(Body, Header)>,
    /// Number of lines read, counted from the first one of the text.
    line: usize,
}

impl<'a> Parser<'a> {
    fn read(&mut self) -> Parsed<()> {
        let mut begun = false;
        // Some editors write a mark before the first line.
        let text = self.text.strip_prefix('\u{feff}').unwrap_or(self.text);
        for (i, line) in text.lines().enumerate() {
            let number = u32::try_from(i + 1).unwrap_or(u32::MAX);
            self.line = i + 1;
            let blank = line.trim_start();
            if blank.is_empty() || blank.starts_with(';') {
                continue;
            }
            let tokens = Tokens::new(line, number);
            if !begun {
                let mut tokens = tokens?;
                let known = tokens.eat_word("graph");
                match tokens.peek().kind {
                    Kind::Number(VERSION) if known => {}
                    Kind::Number(other) if known => {
                        let message =
                            format!("is of version {other}; this reader knows version {VERSION}");
                        let help = format!(
                            "write the text anew as `graph {VERSION}`, or read it by the release it was written for"
                        );
                        return Err(TypeError::new("graph", tokens.peek().at, message, help));
                    }
                    _ => return version_error(At::Text { line: number, column: 1 }),
                }
                tokens.take();
                tokens.expect_end()?;
                begun = true;
                continue;
            }
            let result = match tokens {
                Ok(mut tokens) => {
                    let result = self.line(&mut tokens);
                    if result.is_err() {
                        self.forgive(line, number);
                    }
                    result
                }
                Err(error) => {
                    self.unreadable(line, number);
                    Err(error)
                }
            };
            if let Err(error) = result {
                self.errors.push(error);
            }
            if self.errors.len() >= MAX_ERRORS {
                return Ok(());
            }
        }
        if let Some((_, header)) = self.inner.take() {
            let message = format!("lacks the `}}` of function `{}`", header.name);
            return error(header.at, message, "close the function on a line of its own");
        }
        if begun { Ok(()) } else { version_error(At::Text { line: 1, column: 1 }) }
    }

    fn body(&mut self) -> &mut Body {
        match &mut self.inner {
            Some((body, _)) => body,
            None => &mut self.outer,
        }
    }

    /// Takes what a wrong line would have named as known, so that its users are not reported too.
    fn forgive(&mut self, line: &str, number: u32) {
        // Up to the first sign that is not understood.
        let readable = line.split(['=', ':', '(', ';']).next().unwrap_or("");
        let Ok(mut tokens) = Tokens::new(readable, number) else { return };
        for _ in 0..2 {
            if let Kind::Name(name) | Kind::Quoted(name) | Kind::Label(name) = tokens.take().kind {
                self.body().names.entry(name.to_string()).or_insert(None);
            }
        }
    }

    /// Does what can be done with a line of which no tokens can be made.
    fn unreadable(&mut self, line: &str, number: u32) {
        let Some(header) = opens(line) else { return self.forgive(line, number) };
        let name = header.split('(').next().unwrap_or("").trim().trim_matches('`');
        self.enter(At::Text { line: number, column: 1 });
        if let Some((_, header)) = &mut self.inner {
            header.name = name.to_string();
        }
        self.poison();
    }

    fn line(&mut self, tokens: &mut Tokens<'a>) -> Parsed<()> {
        let first = tokens.peek();
        let Kind::Name(word) = first.kind else {
            return match first.kind {
                Kind::Symbol("}") => self.close(tokens),
                Kind::Label(_) | Kind::Quoted(_) => self.statement(tokens),
                _ => tokens.wanted("a name, a label or a keyword"),
            };
        };
        let assigned = tokens.peek_at(1).kind == Kind::Symbol("=");
        let outside =
            matches!(word, "fn" | "write" | "guard") || StateKind::from_name(word).is_some();
        if let (true, Some((_, header)), false) = (outside, &self.inner, assigned) {
            let message = format!("has a line `{word}` inside function `{}`", header.name);
            let help = "close the function by a line `}` before it";
            if word == "fn"
                && let Err(error) = self.open(tokens)
            {
                self.errors.push(error);
            }
            return error(first.at, message, help);
        }
        match word {
            _ if assigned => self.statement(tokens),
            "fn" => self.open(tokens),
            "in" => {
                tokens.take();
                let (name, at) = self.new_name(tokens, "the name of an input")?;
                tokens.expect(":")?;
                let ty = tensor_type(tokens)?;
                let range = if tokens.eat(",") { Some(range(tokens)?) } else { None };
                tokens.expect_end()?;
                if range.is_some() && self.inner.is_some() {
                    let help = "declare ranges on the inputs of the whole graph";
                    return error(at, "has a range inside a function", help);
                }
                if let Some(Err((problem, help))) = range.map(|r| check_range(ty.dtype, r)) {
                    // Its users are right.
                    self.body().declare(name, ty, None, at);
                    return error(at, format!("gives input `{name}` {problem}"), help);
                }
                self.body().declare(name, ty, range, at);
                Ok(())
            }
            "out" => {
                tokens.take();
                let (name, at) = tokens.name("the name of an output")?;
                check_name(name, at)?;
                tokens.expect("=")?;
                let value = self.value(tokens);
                if !self.body().outputs.insert(name.to_string()) {
                    let message = format!("has two outputs called `{name}`");
                    return error(at, message, "rename one");
                }
                if let Some(node) = value? {
                    self.body().builder.output(name, node);
                }
                Ok(())
            }
            "write" => self.write(tokens),
            "guard" => {
                tokens.take();
                let at = tokens.peek().at;
                let Some(loss) = self.value(tokens)? else { return Ok(()) };
                let body = self.body();
                let ty = body.builder.ty(loss);
                if ty.rank() != 0 || !ty.dtype.is_float() {
                    let message = format!("must be one float, not {ty}");
                    let help = "reduce the loss to one number";
                    return Err(TypeError::new("guard", at, message, help));
                }
                if std::mem::replace(&mut body.guarded, true) {
                    return error(at, "has two guards", "guard one value");
                }
                body.builder.set_guard(Some(loss));
                Ok(())
            }
            word => match StateKind::from_name(word) {
                Some(kind) => {
                    tokens.take();
                    let (name, at) = self.new_name(tokens, "the name of a state")?;
                    tokens.expect(":")?;
                    let ty = tensor_type(tokens)?;
                    tokens.expect_end()?;
                    let id = self.outer.builder.declare_state(name, kind, ty, at);
                    self.outer.names.insert(name.to_string(), Some(id));
                    Ok(())
                }
                None => error(
                    first.at,
                    format!("has no line that begins with `{word}`"),
                    "lines begin with in, param, frozen, slot, stat, counter, fn, out, write or guard, \
                     or name a value, as in `y = x + 1`",
                ),
            },
        }
    }

    /// A name that no value has yet.
    fn new_name(&mut self, tokens: &mut Tokens<'a>, what: &str) -> Parsed<(&'a str, At)> {
        let (name, at) = tokens.name(what)?;
        check_name(name, at)?;
        if self.body().names.get(name).is_some_and(Option::is_some) {
            let message = format!("has two values called `{name}`");
            return error(at, message, "rename one");
        }
        Ok((name, at))
    }

    /// `name = expression`
    fn statement(&mut self, tokens: &mut Tokens<'a>) -> Parsed<()> {
        let label = tokens.peek();
        let (name, at) = match label.kind {
            Kind::Label(name) => {
                tokens.take();
                (name, label.at)
            }
            _ => tokens.name("a name")?,
        };
        tokens.expect("=")?;
        let value = self.value(tokens);
        let known = self.body().names.get(name).is_some_and(Option::is_some);
        if known {
            return error(at, format!("has two values called `{name}`"), "rename one");
        }
        if label.kind != Kind::Label(name) {
            check_name(name, at)?;
        }
        let value = value?;
        self.body().names.insert(name.to_string(), value);
        Ok(())
    }

    /// An expression that ends the line; `None` when it failed and that has been reported.
    fn value(&mut self, tokens: &mut Tokens<'a>) -> Parsed<Option<NodeId>> {
        let tree = Tree::parse(tokens)?;
        tokens.expect_end()?;
        let Parser { text, errors, functions, outer, inner, .. } = self;
        let (body, own, lenient) = match inner {
            Some((body, header)) => (body, Some(header.name.as_str()), header.errors.is_none()),
            None => (outer, None, false),
        };
        let float = *body.float.get_or_insert_with(|| float_of(&body.builder));
        let Body { builder, names, failed, .. } = body;
        let value = |name: &str| match names.get(name) {
            Some(Some(id)) => Found::Known(*id),
            Some(None) => Found::Failed,
            // What it is given is not known.
            None if lenient => Found::Failed,
            None => Found::Unknown,
        };
        let function = |name: &str| match functions.get(name) {
            Some(Some(function)) => Found::Known(function.clone()),
            Some(None) => Found::Failed,
            None if own == Some(name) => Found::Failed,
            None => Found::Unknown,
        };
        let missing = RefCell::new(vec![]);
        let help = |name: &str| {
            missing.borrow_mut().push(name.to_string());
            unknown(name, names, text)
        };
        let scope = Scope { value: &value, function: &function, help: &help, float };
        let before = errors.len();
        let value = elaborate(&tree, builder, &scope, errors);
        *failed |= value.is_none();
        // A name is missed once.
        for name in missing.into_inner() {
            names.insert(name, None);
        }
        // Whatever failed without a word failed because of an earlier error, or because a function calls itself.
        if value.is_none() && errors.len() == before && before == 0 {
            let at = tree.terms.first().map_or(At::Unknown, |t| t.at);
            let message = format!("calls function `{}` inside itself", own.unwrap_or(""));
            return error(at, message, "close the function by a line `}` before it is called");
        }
        Ok(value)
    }

    fn write(&mut self, tokens: &mut Tokens<'a>) -> Parsed<()> {
        tokens.take();
        let (name, at) = tokens.name("the name of a state")?;
        tokens.expect("=")?;
        let value = self.value(tokens)?;
        let body = &mut self.outer;
        let state = match body.names.get(name) {
            Some(Some(id)) => *id,
            Some(None) => return Ok(()),
            None => {
                let message = format!("knows no state called `{name}`");
                return error(at, message, unknown(name, &body.names, self.text));
            }
        };
        let graph = body.builder.graph();
        let Some(decl) = graph.states().iter().find(|s| s.read == state) else {
            let message = format!("writes `{name}`, which is no state");
            return error(at, message, "write to a declared state");
        };
        let Some(value) = value else { return Ok(()) };
        if *graph.ty(value) != decl.ty {
            let message =
                format!("writes {} to state `{name}` of type {}", graph.ty(value), decl.ty);
            let help = "a state keeps its element type and shape; reshape or cast the value";
            return error(at, message, help);
        }
        if !body.written.insert(state) {
            return error(at, format!("writes `{name}` twice"), "write each state once");
        }
        body.builder.write(state, value);
        Ok(())
    }

    /// `fn name(x: type, ..) vjp other {`
    fn open(&mut self, tokens: &mut Tokens<'a>) -> Parsed<()> {
        let at = tokens.take().at;
        self.enter(at);
        let result = self.header(tokens);
        if result.is_err() {
            self.poison();
            if tokens.ends_with("}") {
                self.leave();
            }
        }
        result
    }

    /// Begins a function; one that is open cannot be made.
    fn enter(&mut self, at: At) {
        let mut header =
            Header { name: String::new(), vjp: None, at, errors: Some(self.errors.len()) };
        if self.inner.is_some() {
            self.poison();
            if self.closes_twice() {
                // It may use values of the function around it.
                header.errors = None;
                self.around.extend(self.inner.take());
            } else {
                // Its error is yet to be counted.
                header.errors = Some(self.errors.len() + 1);
            }
        }
        self.inner = Some((Body::default(), header));
    }

    /// Whether the lines below close one function more than they open, besides the one that this line opens.
    fn closes_twice(&self) -> bool {
        let mut open = 1i64;
        self.text.lines().skip(self.line).any(|line| {
            if opens(line).is_some() {
                open += 1;
            } else if line.trim_start().starts_with('}') {
                open -= 1;
            }
            open < 0
        })
    }

    /// Reads what is left of the inner function without making it, and reports no name that it does not know.
    fn poison(&mut self) {
        if let Some((_, header)) = &mut self.inner {
            self.functions.insert(header.name.clone(), None);
            header.errors = None;
        }
    }

    /// Ends the inner function.
    fn leave(&mut self) -> Option<(Body, Header)> {
        std::mem::replace(&mut self.inner, self.around.pop())
    }

    fn header(&mut self, tokens: &mut Tokens<'a>) -> Parsed<()> {
        let (name, at) = tokens.name("the name of a function")?;
        if let Some((_, header)) = &mut self.inner {
            header.name = name.to_string();
        }
        check_name(name, at)?;
        if self.functions.get(name).is_some_and(Option::is_some) {
            return error(at, format!("has two functions called `{name}`"), "rename one");
        }
        tokens.expect("(")?;
        let mut first = true;
        while !tokens.eat(")") {
            if !first {
                tokens.expect(",")?;
            }
            first = false;
            let (name, at) = self.new_name(tokens, "the name of an operand")?;
            tokens.expect(":")?;
            let ty = tensor_type(tokens)?;
            self.body().declare(name, ty, None, at);
        }
        if tokens.eat_word("vjp") {
            let (vjp, at) = tokens.name("the name of a function")?;
            if let Some((_, header)) = &mut self.inner {
                header.vjp = Some((vjp.to_string(), at));
            }
        }
        tokens.expect("{")?;
        tokens.expect_end()
    }

    /// `}`
    fn close(&mut self, tokens: &mut Tokens<'a>) -> Parsed<()> {
        let at = tokens.take().at;
        let Some((body, header)) = self.leave() else {
            return error(at, "has a `}` that closes nothing", "leave it out");
        };
        let made = if header.errors == Some(self.errors.len()) && !body.failed {
            self.function(body, &header).map(Some)
        } else {
            Ok(None)
        };
        let (function, result) = match made {
            Ok(function) => (function, Ok(())),
            Err(error) => (None, Err(error)),
        };
        self.functions.insert(header.name, function);
        result?;
        tokens.expect_end()
    }

    fn function(&mut self, body: Body, header: &Header) -> Parsed<Arc<Function>> {
        let place = |e: TypeError| TypeError { at: header.at, ..e };
        let graph = body.builder.build().map_err(|mut errors| errors.0.swap_remove(0))?;
        let function = Function::new(&header.name, graph).map_err(place)?;
        let Some((vjp, at)) = &header.vjp else { return Ok(Arc::new(function)) };
        match self.functions.get(vjp) {
            Some(Some(vjp)) => function.with_vjp(vjp.clone()).map(Arc::new).map_err(place),
            Some(None) => Ok(Arc::new(function)),
            None => error(
                *at,
                format!("knows no function called `{vjp}`"),
                "a derivative is defined above its function",
            ),
        }
    }
}

impl Body {
    fn declare(&mut self, name: &str, ty: TensorType, range: Option<(f64, f64)>, at: At) {
        let id = self.builder.declare_input(name, ty, range, at);
        self.names.insert(name.to_string(), Some(id));
    }
}

fn version_error(at: At) -> Parsed<()> {
    let help = format!("begin with `graph {VERSION}`");
    Err(TypeError::new("graph", at, "has no version line that this reader knows", help))
}

fn check_name(name: &str, at: At) -> Parsed<()> {
    if is_name(name) {
        return Ok(());
    }
    let help = "use letters, digits, `_`, `.`, `/` and `-`, and begin with a letter or `_`";
    error(at, format!("has no valid name `{name}`"), help)
}

/// What follows `fn` on a line that opens a function.
fn opens(line: &str) -> Option<&str> {
    let rest = line.trim_start().strip_prefix("fn")?;
    rest.starts_with(|c: char| c.is_whitespace() || matches!(c, '(' | '`')).then_some(rest)
}

/// `range 0 to 9`
fn range(tokens: &mut Tokens<'_>) -> Parsed<(f64, f64)> {
    if !tokens.eat_word("range") {
        return tokens.wanted("`range`");
    }
    let low = number(tokens)?.float()?;
    if !tokens.eat_word("to") {
        return tokens.wanted("`to`");
    }
    Ok((low, number(tokens)?.float()?))
}

/// What to tell about an unknown name.
fn unknown(name: &str, names: &HashMap<String, Option<NodeId>>, text: &str) -> String {
    let below = text.lines().enumerate().find(|(_, line)| {
        let mut words = line.split(|c: char| c.is_whitespace() || matches!(c, '=' | ':'));
        let mut words = words.by_ref().filter(|w| !w.is_empty()).take(2);
        let first = words.next();
        first == Some(name)
            || (first == Some("in") || first.is_some_and(|f| StateKind::from_name(f).is_some()))
                && words.next() == Some(name)
    });
    if let Some((i, _)) = below {
        return format!(
            "it is named in line {}; values are named above the lines that use them",
            i + 1
        );
    }
    let mut known: Vec<&str> = names.keys().map(String::as_str).take(MAX_SEARCHED).collect();
    known.sort_unstable();
    match nearest(name, known.into_iter().filter(|n| !n.starts_with('%'))) {
        Some(near) => format!("is `{near}` meant?"),
        None => "values are named above the lines that use them".to_string(),
    }
}

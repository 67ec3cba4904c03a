//! The log of unions: every one goes through [`union`], with its reason and, when a log is kept, what was read and
//! made for it.
//!
//! Ids stand for terms: the id that the e-graph gave a term when it was added. While a step is prepared, what is read
//! of classes is noted here; the union that ends it takes the notes. Without a log nothing is kept.

use crate::build::facts;
use crate::facts::{Data, Egraph, Facts, infer};
use crate::language::{Head, Term};
use crate::pattern::LeftSide;
use crate::rational::Rational;
use crate::rules::{Rule, RuleClass};
use egg::{ENodeOrVar, Id, Subst, Var};
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};

/// What makes classes one without a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Pass {
    /// What is known to be a number is that constant.
    Constants,
    /// Sums and products of equal normal form.
    NormalForm,
    /// A pair of terms or factors apart from the rest.
    Pairs,
    /// Layers with frozen weights as one.
    LinearFolding,
    /// An op before or after what moves its elements.
    Moves,
    /// Slices and reshapes of what was padded, put together or reshaped.
    Slices,
}

impl Pass {
    pub(crate) const ALL: [Pass; 6] = [
        Pass::Constants,
        Pass::NormalForm,
        Pass::Pairs,
        Pass::LinearFolding,
        Pass::Moves,
        Pass::Slices,
    ];

    /// As it is called in reports and explanations.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Pass::Constants => "constants",
            Pass::NormalForm => "normal-form",
            Pass::Pairs => "pairs",
            Pass::LinearFolding => "linear-folding",
            Pass::Moves => "moves",
            Pass::Slices => "slices",
        }
    }
}

/// Why two classes became one.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reason<'a> {
    Rule(&'a Rule),
    Pass(Pass),
}

/// A term of which parts are classes: operands first, the whole last.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Form(pub(crate) Vec<Piece>);

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Piece {
    Class(Id),
    /// An op, places of its operands, and the class it was read of or made for, where that is known.
    Node(Head, Vec<usize>, Option<Id>),
}

/// The most nodes that a form opens; below them it ends in classes.
const MOST_NODES: usize = 512;

impl Form {
    /// What was made last as class `root`, of what was made before it, and besides what was made as a class of which
    /// a term was read.
    fn made(root: Id, terms: &[(Id, Term)], read: &[(Id, Term)]) -> Form {
        let (mut form, mut besides) = (Form(vec![]), vec![]);
        // The last term that was made as each class.
        let mut places: HashMap<Id, usize> = HashMap::new();
        for (id, term) in terms {
            let mut args = vec![];
            for &arg in &term.args {
                args.push(
                    places.get(&arg).copied().unwrap_or_else(|| form.push(Piece::Class(arg))),
                );
            }
            let place = form.push(Piece::Node(term.head.clone(), args, Some(*id)));
            places.insert(*id, place);
            if read.iter().any(|(class, _)| class == id) {
                besides.push(place);
            }
        }
        match places.get(&root) {
            Some(&place) => form.only(place, &besides),
            None => Form(vec![Piece::Class(root)]),
        }
    }

    fn push(&mut self, piece: Piece) -> usize {
        self.0.push(piece);
        self.0.len() - 1
    }

    /// The pieces that the one at `place` needs, and those before it that `besides` names.
    fn only(&self, place: usize, besides: &[usize]) -> Form {
        let mut needed = vec![false; self.0.len()];
        needed[place] = true;
        besides.iter().filter(|&&b| b < place).for_each(|&b| needed[b] = true);
        for i in (0..=place).rev() {
            if let (true, Piece::Node(_, args, _)) = (needed[i], &self.0[i]) {
                args.iter().for_each(|&a| needed[a] = true);
            }
        }
        let mut new = vec![0; self.0.len()];
        let mut form = Form(vec![]);
        for (i, piece) in self.0.iter().enumerate().filter(|(i, _)| needed[*i]) {
            new[i] = form.push(match piece {
                Piece::Class(id) => Piece::Class(*id),
                Piece::Node(head, args, id) => {
                    Piece::Node(head.clone(), args.iter().map(|&a| new[a]).collect(), *id)
                }
            });
        }
        form
    }

    /// The class `root` as terms that were read, as far as they are known.
    fn of(root: Id, terms: &[(Id, Term)]) -> Form {
        let mut known: HashMap<Id, &Term> = HashMap::new();
        terms.iter().for_each(|(id, term)| {
            known.entry(*id).or_insert(term);
        });
        let mut form = Form(vec![]);
        form.open(root, &known, &mut HashMap::new(), &mut HashSet::new());
        form
    }

    fn open(
        &mut self,
        id: Id,
        known: &HashMap<Id, &Term>,
        places: &mut HashMap<Id, usize>,
        path: &mut HashSet<Id>,
    ) -> usize {
        if let Some(&place) = places.get(&id) {
            return place;
        }
        let inside = path.contains(&id);
        let piece = match known.get(&id) {
            Some(term) if !inside && path.len() + self.0.len() < MOST_NODES => {
                path.insert(id);
                let args = term.args.iter().map(|&a| self.open(a, known, places, path)).collect();
                path.remove(&id);
                Piece::Node(term.head.clone(), args, Some(id))
            }
            Some(_) | None => Piece::Class(id),
        };
        let place = self.push(piece);
        if !inside {
            places.insert(id, place);
        }
        place
    }

    /// What a left side matched.
    fn matched(side: &LeftSide, subst: &Subst) -> Form {
        let nodes: &[ENodeOrVar<Term>] = side.pattern.ast.as_ref();
        let piece = |node: &ENodeOrVar<Term>| match node {
            ENodeOrVar::Var(var) => Piece::Class(subst[*var]),
            ENodeOrVar::ENode(term) => {
                let args = term.args.iter().map(|&a| usize::from(a)).collect();
                Piece::Node(term.head.clone(), args, None)
            }
        };
        Form(nodes.iter().map(piece).collect())
    }
}

/// A union.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// Name of the rule or pass.
    pub(crate) name: String,
    /// What the rule keeps; none for a pass.
    pub(crate) class: Option<RuleClass>,
    /// What was matched, when that is not one of the two sides.
    pub(crate) trigger: Option<Form>,
    pub(crate) left: Form,
    pub(crate) right: Form,
    /// What the variables of the rule stand for.
    pub(crate) bindings: Vec<(Var, Id)>,
    /// Classes and terms of theirs that were read besides.
    pub(crate) read: Vec<(Id, Term)>,
    /// What facts of the rule's variables came from, by [`Log::origins`].
    pub(crate) facts: Vec<(Id, u32)>,
    /// Terms that the e-graph had been given by then.
    pub(crate) terms: usize,
}

/// Where facts of a class came from.
#[derive(Clone, Debug)]
pub(crate) enum Origin {
    /// Nobody looked.
    Unknown,
    /// A term, and the origins of its operands' facts.
    Term(Term, Vec<u32>),
    /// Two classes that became one.
    Both(u32, u32),
}

/// What is noted until the next union.
#[derive(Clone, Debug, Default)]
struct Notes {
    matched: Option<Matched>,
    /// Terms of the left side, by class.
    opened: Vec<(Id, Term)>,
    /// Terms of the right side, by class, where it was there before.
    opened_right: Vec<(Id, Term)>,
    /// Terms that were made for the right side, in order.
    made: Vec<(Id, Term)>,
    read: Vec<(Id, Term)>,
}

#[derive(Clone, Debug)]
struct Matched {
    form: Form,
    bindings: Vec<(Var, Id)>,
    facts: Vec<(Id, u32)>,
}

/// Every union since the e-graph was empty.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    notes: RefCell<Notes>,
    pub(crate) steps: Vec<Step>,
    pub(crate) origins: Vec<Origin>,
}

impl Default for Log {
    fn default() -> Log {
        Log { notes: RefCell::default(), steps: vec![], origins: vec![Origin::Unknown] }
    }
}

impl Log {
    /// A number for where facts come from.
    pub(crate) fn origin(&mut self, origin: Origin) -> u32 {
        self.origins.push(origin);
        self.origins.len() as u32 - 1
    }
}

fn note(egraph: &Egraph, f: impl FnOnce(&mut Notes)) {
    if let Some(log) = &egraph.analysis.proof {
        f(&mut log.notes.borrow_mut());
    }
}

/// Whether a log is kept.
pub(crate) fn is_kept(egraph: &Egraph) -> bool {
    egraph.analysis.proof.is_some()
}

/// Forgets what was noted: another step begins.
pub(crate) fn begin(egraph: &Egraph) {
    note(egraph, |notes| *notes = Notes::default());
}

/// Begins with a match of a rule.
pub(crate) fn begin_match(egraph: &Egraph, side: &LeftSide, subst: &Subst) {
    note(egraph, |notes| {
        let bindings: Vec<(Var, Id)> =
            side.pattern.vars().into_iter().map(|v| (v, subst[v])).collect();
        let origin = |&(_, id): &(Var, Id)| match &egraph[id].data {
            Data::Tensor(facts) => Some((id, facts.origin)),
            Data::Axes(_) | Data::Renaming(_) | Data::Type(_) => None,
        };
        let facts = bindings.iter().filter_map(origin).collect();
        let form = Form::matched(side, subst);
        *notes = Notes { matched: Some(Matched { form, bindings, facts }), ..Notes::default() };
    });
}

/// The left side reads `class` as `term`.
pub(crate) fn open(egraph: &Egraph, class: Id, term: &Term) {
    note(egraph, |notes| notes.opened.push((class, term.clone())));
}

/// The right side, which was there before, reads `class` as `term`.
pub(crate) fn open_right(egraph: &Egraph, class: Id, term: &Term) {
    note(egraph, |notes| notes.opened_right.push((class, term.clone())));
}

/// `term` was made for the right side, as `class`.
pub(crate) fn made(egraph: &Egraph, class: Id, term: &Term) {
    note(egraph, |notes| notes.made.push((class, term.clone())));
}

/// The step depends on `class` holding `term`.
pub(crate) fn read(egraph: &Egraph, class: Id, term: &Term) {
    note(egraph, |notes| notes.read.push((class, term.clone())));
}

/// Makes two classes one, for a reason; whether they were two.
///
/// The only place that unites classes: what is noted becomes a step of the log, also where they were one before,
/// because it may be the shorter way.
pub(crate) fn union(egraph: &mut Egraph, a: Id, b: Id, reason: Reason<'_>) -> bool {
    let terms = egraph.nodes().len();
    if let Some(log) = &mut egraph.analysis.proof {
        let Notes { matched, opened, opened_right, made, read } = log.notes.take();
        let right = match opened_right.is_empty() {
            true => Form::made(b, &made, &read),
            false => Form::of(b, &opened_right),
        };
        let step = match (reason, matched) {
            (Reason::Rule(rule), Some(Matched { form, bindings, facts })) => {
                let (trigger, left) = match &rule.equal {
                    Some(_) => (Some(form), Form::made(a, &made, &read)),
                    None => (None, form),
                };
                let (name, class) = (rule.name.clone(), Some(rule.class));
                Step { name, class, trigger, left, right, bindings, read, facts, terms }
            }
            (Reason::Rule(rule), None) => {
                panic!("internal error: rule `{}` was applied without a match", rule.name)
            }
            (Reason::Pass(pass), _) => Step {
                name: pass.name().to_string(),
                class: None,
                trigger: None,
                left: Form::of(a, &opened),
                right,
                bindings: vec![],
                read,
                facts: vec![],
                terms,
            },
        };
        log.steps.push(step);
    }
    egraph.union(a, b)
}

/// Makes a class and the constant that it is known to be one. What is noted for another step stays.
pub(crate) fn union_constant(egraph: &mut Egraph, class: Id, constant: Id, value: Rational) {
    let terms = egraph.nodes().len();
    if is_kept(egraph) && egraph.find(class) != egraph.find(constant) {
        let left = Form::of(class, &computed(egraph, class, value));
        let right = Form(vec![Piece::Class(constant)]);
        let (name, bindings) = (Pass::Constants.name().to_string(), vec![]);
        let (read, facts) = (vec![], vec![]);
        let (class, trigger) = (None, None);
        let step = Step { name, class, trigger, left, right, bindings, read, facts, terms };
        if let Some(log) = &mut egraph.analysis.proof {
            log.steps.push(step);
        }
    }
    egraph.union(class, constant);
}

/// A term of a class from whose operands, constants all of them, the value follows.
fn computed(egraph: &Egraph, class: Id, value: Rational) -> Vec<(Id, Term)> {
    let constant = |id: Id| match &egraph[id].data {
        Data::Tensor(facts) => facts.constant,
        Data::Axes(_) | Data::Renaming(_) | Data::Type(_) => None,
    };
    let gives = |term: &&Term| {
        let Data::Tensor(found) = infer(&egraph.analysis, term, |id| &egraph[id].data) else {
            return false;
        };
        found.constant == Some(value)
    };
    let Some(term) = egraph[class].nodes.iter().find(gives) else { return vec![] };
    let mut terms = vec![(class, term.clone())];
    for &arg in &term.args {
        let literal = |n: &&Term| matches!(n.head, Head::Const(..));
        if constant(arg).is_some()
            && let Some(number) = egraph[arg].nodes.iter().find(literal)
        {
            terms.push((arg, number.clone()));
        }
    }
    terms
}

/// Facts of a term that is added, with their origin.
pub(crate) fn trace(egraph: &mut Egraph, term: &Term, found: &mut Facts) {
    if !is_kept(egraph) {
        return;
    }
    let tensor = |id: &&Id| matches!(egraph[**id].data, Data::Tensor(_));
    let args = term.args.iter().filter(tensor).map(|&id| facts(egraph, id).origin).collect();
    if let Some(log) = &mut egraph.analysis.proof {
        found.origin = log.origin(Origin::Term(term.clone(), args));
    }
}

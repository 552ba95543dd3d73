//! Expressions as trees. Macros are expanded: what is left are literals, names, selections, calls, collections and loops.

/// A node of an expression.
#[derive(Debug, Clone)]
pub(crate) struct Expr {
    /// The number of the node; each has its own.
    pub(crate) id: u32,
    /// Where it stands, in characters from the start of the text.
    pub(crate) at: usize,
    /// What it is.
    pub(crate) kind: Kind,
}

#[derive(Debug, Clone)]
pub(crate) enum Kind {
    Literal(Literal),
    Ident(String),
    Select(Select),
    Call(Call),
    List(List),
    Map(Vec<MapEntry>),
    Struct(Struct),
    Loop(Box<Loop>),
    /// What could not be read; a complaint says why.
    Broken,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Literal {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    String(String),
    Bytes(Vec<u8>),
}

#[derive(Debug, Clone)]
pub(crate) struct Select {
    pub(crate) operand: Box<Expr>,
    pub(crate) field: String,
    /// Whether only the presence of the field is asked for.
    pub(crate) test: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) target: Option<Box<Expr>>,
    pub(crate) function: String,
    pub(crate) args: Vec<Expr>,
}

#[derive(Debug, Clone)]
pub(crate) struct List {
    pub(crate) elements: Vec<Expr>,
    /// Which elements are left out when they are optional and absent.
    pub(crate) optional: Vec<usize>,
}

#[derive(Debug, Clone)]
pub(crate) struct MapEntry {
    pub(crate) key: Expr,
    pub(crate) value: Expr,
    pub(crate) optional: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Struct {
    pub(crate) name: String,
    pub(crate) fields: Vec<StructField>,
}

#[derive(Debug, Clone)]
pub(crate) struct StructField {
    pub(crate) at: usize,
    pub(crate) name: String,
    pub(crate) value: Expr,
    pub(crate) optional: bool,
}

/// What macros like `all` and `map` become: a fold over a list or the keys of a map.
#[derive(Debug, Clone)]
pub(crate) struct Loop {
    pub(crate) range: Expr,
    pub(crate) variable: String,
    pub(crate) second: Option<String>,
    pub(crate) result_name: String,
    pub(crate) init: Expr,
    pub(crate) condition: Expr,
    pub(crate) step: Expr,
    pub(crate) result: Expr,
}

/// The name that operators have as functions.
pub(crate) mod operators {
    pub(crate) const CONDITIONAL: &str = "_?_:_";
    pub(crate) const AND: &str = "_&&_";
    pub(crate) const OR: &str = "_||_";
    pub(crate) const NOT: &str = "!_";
    pub(crate) const NEGATE: &str = "-_";
    pub(crate) const EQUALS: &str = "_==_";
    pub(crate) const NOT_EQUALS: &str = "_!=_";
    pub(crate) const LESS: &str = "_<_";
    pub(crate) const LESS_EQUALS: &str = "_<=_";
    pub(crate) const GREATER: &str = "_>_";
    pub(crate) const GREATER_EQUALS: &str = "_>=_";
    pub(crate) const ADD: &str = "_+_";
    pub(crate) const SUBTRACT: &str = "_-_";
    pub(crate) const MULTIPLY: &str = "_*_";
    pub(crate) const DIVIDE: &str = "_/_";
    pub(crate) const MODULO: &str = "_%_";
    pub(crate) const INDEX: &str = "_[_]";
    pub(crate) const IN: &str = "@in";
    pub(crate) const OPTIONAL_SELECT: &str = "_?._";
    pub(crate) const OPTIONAL_INDEX: &str = "_[?_]";
    pub(crate) const NOT_STRICTLY_FALSE: &str = "@not_strictly_false";
    /// Puts an entry, or the entries of a map, into a map.
    pub(crate) const INSERT: &str = "cel.@mapInsert";
}

//! Tokens as a tree.

use serde_json::Value;

use super::ast::{Expr, Kind, NOT, Node, Operator, Variable};
use super::function::Function;
use super::lexer::{self, Kind as TokenKind, Token};
use super::{Error, MAX_DEPTH, Notation};

/// The tree of a template.
pub(super) fn parse(text: &str, notation: Notation) -> Result<Vec<Node>, Error> {
    let tokens = lexer::tokens(text)?;
    let mut parser = Parser { text, tokens, at: 0, notation, depth: 0 };
    let (nodes, end) = parser.block(None)?;
    debug_assert!(end.is_none(), "only the end of the text ends the outermost block");
    Ok(nodes)
}

struct Parser<'t> {
    text: &'t str,
    tokens: Vec<Token<'t>>,
    at: usize,
    notation: Notation,
    depth: usize,
}

/// The statement that ended a block; its own content is not read yet.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Else,
    If,
    For,
}

impl<'t> Parser<'t> {
    fn peek(&self) -> Token<'t> {
        let end = Token { kind: TokenKind::End, text: "", at: self.text.len() };
        self.tokens.get(self.at).copied().unwrap_or(end)
    }

    fn next(&mut self) -> Token<'t> {
        let token = self.peek();
        self.at = self.at.saturating_add(1);
        token
    }

    fn error<T>(&self, at: usize, message: impl Into<String>) -> Result<T, Error> {
        Err(Error { position: Some(lexer::position(self.text, at)), message: message.into() })
    }

    fn expected<T>(&self, what: &str) -> Result<T, Error> {
        let token = self.peek();
        let found = match token.kind {
            TokenKind::End => "the end of the template".to_owned(),
            TokenKind::ExpressionClose | TokenKind::StatementClose => "the end of the tag".to_owned(),
            _ => format!("`{}`", token.text.trim()),
        };
        self.error(token.at, format!("expected {what}, found {found}"))
    }

    fn symbol(&mut self, text: &str) -> bool {
        let token = self.peek();
        let found = token.kind == TokenKind::Symbol && token.text == text;
        if found {
            self.at = self.at.saturating_add(1);
        }
        found
    }

    fn word(&mut self, text: &str) -> bool {
        let token = self.peek();
        let found = token.kind == TokenKind::Word && token.text == text;
        if found {
            self.at = self.at.saturating_add(1);
        }
        found
    }

    fn close(&mut self, kind: TokenKind) -> Result<(), Error> {
        match self.peek().kind == kind {
            true => {
                self.at = self.at.saturating_add(1);
                Ok(())
            }
            false => self.expected(if kind == TokenKind::ExpressionClose { "`}}`" } else { "`%}`" }),
        }
    }

    fn deeper<T>(&mut self, inner: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        if self.depth >= MAX_DEPTH {
            return self.error(self.peek().at, format!("nested more than {MAX_DEPTH} levels deep"));
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }

    /// Nodes up to the end of the block that the statement at `opened` began.
    fn block(&mut self, opened: Option<(&str, usize)>) -> Result<(Vec<Node>, Option<End>), Error> {
        self.deeper(|parser| {
            let mut nodes = Vec::new();
            loop {
                let token = parser.next();
                match token.kind {
                    TokenKind::Text => nodes.push(Node::Text(token.text.into())),
                    TokenKind::ExpressionOpen => {
                        nodes.push(Node::Print(parser.expression(0)?));
                        parser.close(TokenKind::ExpressionClose)?;
                    }
                    TokenKind::StatementOpen => match parser.statement()? {
                        Ok(node) => nodes.push(node),
                        Err((end, at)) => match opened {
                            Some(_) => return Ok((nodes, Some(end))),
                            None => {
                                let (what, opener) = match end {
                                    End::Else => ("else", "if"),
                                    End::If => ("endif", "if"),
                                    End::For => ("endfor", "for"),
                                };
                                return parser.error(at, format!("`{what}` without `{opener}`"));
                            }
                        },
                    },
                    _ => match opened {
                        Some((what, at)) => return parser.error(at, format!("`{what}` without `end{what}`")),
                        None => return Ok((nodes, None)),
                    },
                }
            }
        })
    }

    /// A statement after its opening mark, or the word that ends a block.
    fn statement(&mut self) -> Result<Result<Node, (End, usize)>, Error> {
        let token = self.peek();
        if token.kind != TokenKind::Word {
            return self.expected("a statement such as `if`, `for` or `set`");
        }
        self.at = self.at.saturating_add(1);
        match token.text {
            "if" => self.conditional(token.at).map(Ok),
            "for" => self.repetition(token.at).map(Ok),
            "set" => self.assignment().map(Ok),
            "else" => Ok(Err((End::Else, token.at))),
            "endif" => self.close(TokenKind::StatementClose).map(|()| Err((End::If, token.at))),
            "endfor" => self.close(TokenKind::StatementClose).map(|()| Err((End::For, token.at))),
            "elif" | "elseif" => self.error(token.at, "write `else if`"),
            "include" | "extends" | "block" | "endblock" | "raw" | "macro" => {
                self.error(token.at, format!("`{}` is not possible in transformations", token.text))
            }
            other => {
                self.error(token.at, format!("unknown statement `{other}`: there are if, else, for and set"))
            }
        }
    }

    fn conditional(&mut self, at: usize) -> Result<Node, Error> {
        let mut arms = Vec::new();
        let mut condition = self.expression(0)?;
        self.close(TokenKind::StatementClose)?;
        loop {
            let (nodes, end) = self.block(Some(("if", at)))?;
            arms.push((condition, nodes));
            match end {
                Some(End::If) => return Ok(Node::If(arms, Vec::new())),
                Some(End::Else) if self.word("if") => {
                    condition = self.expression(0)?;
                    self.close(TokenKind::StatementClose)?;
                }
                Some(End::Else) => {
                    self.close(TokenKind::StatementClose)?;
                    return match self.block(Some(("if", at)))? {
                        (otherwise, Some(End::If)) => Ok(Node::If(arms, otherwise)),
                        _ => self.error(at, "after `else` this `if` needs its `endif`"),
                    };
                }
                Some(End::For) | None => return self.error(at, "`if` without `endif`"),
            }
        }
    }

    fn repetition(&mut self, at: usize) -> Result<Node, Error> {
        let first = self.name()?;
        let (key, value) = match self.symbol(",") {
            true => (Some(first), self.name()?),
            false => (None, first),
        };
        if !self.word("in") {
            return self.expected("`in`");
        }
        let over = self.expression(0)?;
        self.close(TokenKind::StatementClose)?;
        match self.block(Some(("for", at)))? {
            (body, Some(End::For)) => Ok(Node::For { key, value, over, body }),
            _ => self.error(at, "`for` without `endfor`"),
        }
    }

    fn assignment(&mut self) -> Result<Node, Error> {
        let token = self.peek();
        let name = self.name()?;
        let path: Vec<Box<str>> = name.split('.').map(Into::into).collect();
        if path.len() > MAX_DEPTH || path.iter().any(|part| part.is_empty()) {
            return self.error(token.at, format!("`{name}` is not a name"));
        }
        if !self.symbol("=") {
            return self.expected("`=`");
        }
        let value = self.expression(0)?;
        self.close(TokenKind::StatementClose)?;
        Ok(Node::Set { path, value })
    }

    fn name(&mut self) -> Result<Box<str>, Error> {
        let token = self.peek();
        match token.kind == TokenKind::Word && !reserved(token.text) {
            true => {
                self.at = self.at.saturating_add(1);
                Ok(token.text.into())
            }
            false => self.expected("a name"),
        }
    }

    /// An expression of operators that bind at least as tight as `least`.
    fn expression(&mut self, least: u8) -> Result<Expr, Error> {
        self.deeper(|parser| {
            let mut left = parser.operand()?;
            while let Some(operator) = parser.operator() {
                let precedence = operator.precedence();
                if precedence < least {
                    break;
                }
                parser.at = parser.at.saturating_add(1);
                // All but the power go from left to right.
                let next =
                    if operator == Operator::Power { precedence } else { precedence.saturating_add(1) };
                let right = parser.expression(next)?;
                let at = left.at;
                left = Expr { at, kind: Kind::Binary(operator, Box::new(left), Box::new(right)) };
            }
            Ok(left)
        })
    }

    fn operator(&self) -> Option<Operator> {
        let token = self.peek();
        Some(match (token.kind, token.text) {
            (TokenKind::Word, "or") => Operator::Or,
            (TokenKind::Word, "and") => Operator::And,
            (TokenKind::Word, "in") => Operator::In,
            (TokenKind::Symbol, "==") => Operator::Equal,
            (TokenKind::Symbol, "!=") => Operator::NotEqual,
            (TokenKind::Symbol, "<") => Operator::Less,
            (TokenKind::Symbol, "<=") => Operator::LessEqual,
            (TokenKind::Symbol, ">") => Operator::Greater,
            (TokenKind::Symbol, ">=") => Operator::GreaterEqual,
            (TokenKind::Symbol, "+") => Operator::Add,
            (TokenKind::Symbol, "-") => Operator::Subtract,
            (TokenKind::Symbol, "*") => Operator::Multiply,
            (TokenKind::Symbol, "/") => Operator::Divide,
            (TokenKind::Symbol, "%") => Operator::Modulo,
            (TokenKind::Symbol, "^") => Operator::Power,
            _ => return None,
        })
    }

    fn operand(&mut self) -> Result<Expr, Error> {
        let token = self.peek();
        let at = lexer::position(self.text, token.at);
        let kind = match (token.kind, token.text) {
            (TokenKind::Number | TokenKind::String, _) => self.literal(token.at, token.text.len())?,
            (TokenKind::Word, "true" | "false" | "null") => self.literal(token.at, token.text.len())?,
            (TokenKind::Symbol, "[" | "{") => {
                let length = self.json_length()?;
                self.literal(token.at, length)?
            }
            (TokenKind::Symbol, "(") => {
                self.at = self.at.saturating_add(1);
                let inner = self.expression(0)?;
                if !self.symbol(")") {
                    return self.expected("`)`");
                }
                inner.kind
            }
            (TokenKind::Word, "not") => {
                self.at = self.at.saturating_add(1);
                Kind::Not(Box::new(self.expression(NOT)?))
            }
            (TokenKind::Word, word) if !reserved(word) => {
                self.at = self.at.saturating_add(1);
                match self.symbol("(") {
                    true => self.call(word, token.at)?,
                    false => self.variable(word, token.at)?,
                }
            }
            _ => return self.expected("a value"),
        };
        let mut operand = Expr { at, kind };
        while self.symbol(".") {
            let name = self.peek();
            if !matches!(name.kind, TokenKind::Word | TokenKind::Number) {
                return self.expected("a name after `.`");
            }
            self.at = self.at.saturating_add(1);
            for part in name.text.split('.') {
                operand = Expr { at, kind: Kind::Member(Box::new(operand), part.into()) };
            }
        }
        Ok(operand)
    }

    fn variable(&self, word: &str, at: usize) -> Result<Kind, Error> {
        let separators: &[char] = match self.notation {
            Notation::Dot => &['.', '/'],
            Notation::Pointer => &['/'],
        };
        let path: Vec<Box<str>> = word.split(separators).map(Into::into).collect();
        if path.iter().any(|part| part.is_empty()) {
            return self.error(at, format!("`{word}` is not a variable"));
        }
        Ok(Kind::Variable(Variable { name: word.into(), path, function: Function::find(word, 0).ok() }))
    }

    fn call(&mut self, name: &str, at: usize) -> Result<Kind, Error> {
        let mut arguments = Vec::new();
        if !self.symbol(")") {
            loop {
                arguments.push(self.expression(0)?);
                if self.symbol(")") {
                    break;
                }
                if !self.symbol(",") {
                    return self.expected("`,` or `)`");
                }
            }
        }
        match Function::find(name, arguments.len()) {
            Ok(function) => Ok(Kind::Call(function, arguments)),
            Err(problem) => self.error(at, problem),
        }
    }

    /// Length of the JSON list or object that begins here.
    fn json_length(&self) -> Result<usize, Error> {
        let start = self.peek().at;
        let mut depth = 0_usize;
        for token in self.tokens.iter().skip(self.at) {
            match (token.kind, token.text) {
                (TokenKind::Symbol, "[" | "{") => depth = depth.saturating_add(1),
                (TokenKind::Symbol, "]" | "}") => {
                    depth = depth.saturating_sub(1);
                    if depth == 0 {
                        return Ok(token.at.saturating_add(1).saturating_sub(start));
                    }
                }
                (TokenKind::ExpressionClose | TokenKind::StatementClose | TokenKind::End, _) => break,
                _ => {}
            }
        }
        self.error(start, "this JSON value is not closed")
    }

    /// A JSON value as it stands.
    fn literal(&mut self, at: usize, length: usize) -> Result<Kind, Error> {
        let end = at.saturating_add(length);
        let text = self.text.get(at..end).unwrap_or_default();
        while self.peek().at < end && self.peek().kind != TokenKind::End {
            self.at = self.at.saturating_add(1);
        }
        match serde_json::from_str::<Value>(text) {
            Ok(value) => Ok(Kind::Literal(value)),
            Err(error) => {
                let reason = error.to_string();
                let reason = reason.split(" at line ").next().unwrap_or_default();
                self.error(at, format!("`{text}` is not JSON: {reason}"))
            }
        }
    }
}

fn reserved(word: &str) -> bool {
    matches!(word, "and" | "or" | "not" | "in" | "if" | "else" | "true" | "false" | "null")
}

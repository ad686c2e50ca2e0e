//! Arithmetic of templates: whole numbers stay whole except in a division, and nothing overflows in silence.

use serde_json::{Number, Value};

use super::ast::Operator;

/// A number as templates see it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Numeric {
    Whole(i64),
    Float(f64),
}

impl Numeric {
    pub(super) fn of(number: &Number) -> Self {
        match number.as_i64() {
            Some(whole) => Self::Whole(whole),
            None => Self::Float(number.as_f64().unwrap_or_default()),
        }
    }

    pub(super) fn float(self) -> f64 {
        match self {
            Self::Whole(whole) => whole as f64,
            Self::Float(float) => float,
        }
    }

    /// Without its fraction.
    pub(super) fn whole(self) -> i64 {
        match self {
            Self::Whole(whole) => whole,
            // Saturates.
            Self::Float(float) => float as i64,
        }
    }
}

/// A float as a value; JSON has no infinity.
pub(super) fn float(value: f64) -> Result<Value, &'static str> {
    Number::from_f64(value).map(Value::Number).ok_or("the result is not a number")
}

/// `left operator right`.
pub(super) fn calculate(operator: Operator, left: Numeric, right: Numeric) -> Result<Value, &'static str> {
    use Numeric::Whole;
    let large = "the result is too large";
    let whole = |value: Option<i64>| value.map(Value::from).ok_or(large);
    match (operator, left, right) {
        (Operator::Add, Whole(a), Whole(b)) => whole(a.checked_add(b)),
        (Operator::Add, a, b) => float(a.float() + b.float()),
        (Operator::Subtract, Whole(a), Whole(b)) => whole(a.checked_sub(b)),
        (Operator::Subtract, a, b) => float(a.float() - b.float()),
        (Operator::Multiply, Whole(a), Whole(b)) => whole(a.checked_mul(b)),
        (Operator::Multiply, a, b) => float(a.float() * b.float()),
        (Operator::Divide, _, b) if b.float() == 0.0 => Err("division by zero"),
        (Operator::Divide, a, b) => float(a.float() / b.float()),
        (Operator::Modulo, _, b) if b.whole() == 0 => Err("division by zero"),
        (Operator::Modulo, a, b) => whole(a.whole().checked_rem(b.whole())),
        (Operator::Power, Whole(a), b) if b.whole() >= 0 => {
            whole(u32::try_from(b.whole()).ok().and_then(|exponent| a.checked_pow(exponent)))
        }
        (Operator::Power, a, b) => float(a.float().powf(b.whole() as f64)),
        _ => Err("not an operation on numbers"),
    }
}

//! Label selectors, as Kubernetes reads them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::resource::{Expression, Operator};

/// A test on the labels of a resource.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Labels {
    /// All of them are equal.
    Equal(BTreeMap<String, String>),
    /// All of these hold.
    Expressions(Vec<Requirement>),
}

/// A checked expression.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Requirement {
    key: String,
    test: Test,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Test {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    DoesNotExist,
    Above(i64),
    Below(i64),
}

/// RouteTables, or parts of hybrid gateways, by label, in some namespaces or (`None`) in all.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TableSelector {
    pub namespaces: Option<BTreeSet<Arc<str>>>,
    pub labels: Labels,
}

impl Labels {
    /// Checks expressions; the error says what is wrong with which.
    pub fn expressions(list: &[Expression]) -> Result<Self, (usize, String)> {
        requirements(list).map(Self::Expressions)
    }

    /// Equal labels and expressions, all of which must hold.
    pub fn all(equal: &BTreeMap<String, String>, list: &[Expression]) -> Result<Self, (usize, String)> {
        let mut all = requirements(list)?;
        let one = |(key, value): (&String, &String)| Requirement {
            key: key.clone(),
            test: Test::In(vec![value.clone()]),
        };
        all.extend(equal.iter().map(one));
        Ok(Self::Expressions(all))
    }

    /// Whether `labels` fit.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        match self {
            Self::Equal(wanted) => wanted.iter().all(|(key, value)| labels.get(key) == Some(value)),
            Self::Expressions(list) => list.iter().all(|it| it.matches(labels)),
        }
    }
}

impl Requirement {
    fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        let label = labels.get(&self.key);
        let number = || label.and_then(|it| it.parse::<i64>().ok());
        match &self.test {
            Test::In(values) => label.is_some_and(|it| values.contains(it)),
            Test::NotIn(values) => !label.is_some_and(|it| values.contains(it)),
            Test::Exists => label.is_some(),
            Test::DoesNotExist => label.is_none(),
            Test::Above(bound) => number().is_some_and(|it| it > *bound),
            Test::Below(bound) => number().is_some_and(|it| it < *bound),
        }
    }
}

fn requirements(list: &[Expression]) -> Result<Vec<Requirement>, (usize, String)> {
    list.iter().enumerate().map(|(at, it)| requirement(it).map_err(|problem| (at, problem))).collect()
}

fn requirement(expression: &Expression) -> Result<Requirement, String> {
    let values = &expression.values;
    let operator = format!("{:?}", expression.operator);
    if expression.key.is_empty() {
        return Err("an expression needs a key".to_owned());
    }
    let one = || match values.as_slice() {
        [one] => Ok(one.clone()),
        _ => Err(format!("the operator {operator} needs exactly one value, not {}", values.len())),
    };
    let some = || match values.is_empty() {
        false => Ok(values.clone()),
        true => Err(format!("the operator {operator} needs at least one value")),
    };
    let none = || match values.is_empty() {
        true => Ok(()),
        false => Err(format!("the operator {operator} takes no values")),
    };
    let number = || {
        let text = one()?;
        text.parse::<i64>().map_err(|_| format!("the operator {operator} needs a number, not [{text}]"))
    };
    let test = match expression.operator {
        Operator::Equals | Operator::DoubleEquals => Test::In(vec![one()?]),
        Operator::NotEquals => Test::NotIn(vec![one()?]),
        Operator::In => Test::In(some()?),
        Operator::NotIn => Test::NotIn(some()?),
        Operator::Exists => none().map(|()| Test::Exists)?,
        Operator::DoesNotExist => none().map(|()| Test::DoesNotExist)?,
        Operator::GreaterThan => Test::Above(number()?),
        Operator::LessThan => Test::Below(number()?),
    };
    Ok(Requirement { key: expression.key.clone(), test })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(list: &[(&str, &str)]) -> BTreeMap<String, String> {
        list.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn fits(operator: Operator, values: &[&str], of: &[(&str, &str)]) -> Option<bool> {
        let values = values.iter().map(|it| (*it).to_owned()).collect();
        let expression = Expression { key: "k".to_owned(), operator, values };
        Some(Labels::expressions(&[expression]).ok()?.matches(&labels(of)))
    }

    #[test]
    fn every_operator() {
        assert_eq!(fits(Operator::Equals, &["a"], &[("k", "a")]), Some(true));
        assert_eq!(fits(Operator::DoubleEquals, &["a"], &[("k", "b")]), Some(false));
        assert_eq!(fits(Operator::NotEquals, &["a"], &[]), Some(true));
        assert_eq!(fits(Operator::In, &["a", "b"], &[("k", "b")]), Some(true));
        assert_eq!(fits(Operator::NotIn, &["a", "b"], &[("k", "b")]), Some(false));
        assert_eq!(fits(Operator::Exists, &[], &[("k", "")]), Some(true));
        assert_eq!(fits(Operator::DoesNotExist, &[], &[("x", "")]), Some(true));
        assert_eq!(fits(Operator::GreaterThan, &["5"], &[("k", "10")]), Some(true));
        assert_eq!(fits(Operator::LessThan, &["5"], &[("k", "x")]), Some(false));
    }

    #[test]
    fn the_number_of_values_is_checked() {
        assert_eq!(fits(Operator::Equals, &["a", "b"], &[]), None);
        assert_eq!(fits(Operator::In, &[], &[]), None);
        assert_eq!(fits(Operator::Exists, &["a"], &[]), None);
        assert_eq!(fits(Operator::GreaterThan, &["x"], &[]), None);
    }

    #[test]
    fn equal_labels_and_expressions_hold_together() {
        let expression = Expression { key: "k".to_owned(), operator: Operator::Exists, values: Vec::new() };
        let both = Labels::all(&labels(&[("app", "a")]), &[expression]).unwrap();
        assert!(both.matches(&labels(&[("app", "a"), ("k", "")])));
        assert!(!both.matches(&labels(&[("app", "a")])));
        assert!(!both.matches(&labels(&[("app", "b"), ("k", "")])));
        assert!(Labels::all(&BTreeMap::new(), &[]).unwrap().matches(&labels(&[])));
    }

    #[test]
    fn no_labels_wanted_fits_all() {
        assert!(Labels::Equal(BTreeMap::new()).matches(&labels(&[("a", "b")])));
    }
}

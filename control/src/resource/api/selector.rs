//! Label selectors.

use std::collections::BTreeMap;

use serde::Deserialize;

/// A test on one label.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Expression {
    /// The label.
    pub key: String,
    /// How it is compared.
    pub operator: Operator,
    /// With what.
    pub values: Vec<String>,
}

/// How a label is compared. The order is that of the API's numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[allow(missing_docs, reason = "named as in the API")]
pub enum Operator {
    #[default]
    Equals,
    DoubleEquals,
    NotEquals,
    In,
    NotIn,
    Exists,
    DoesNotExist,
    GreaterThan,
    LessThan,
}

/// Chooses RouteTables by labels.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RouteTableSelector {
    /// Namespaces to look in; empty = the namespace of the object that holds the route, `*` = all.
    pub namespaces: Vec<String>,
    /// Labels that must all be equal.
    pub labels: BTreeMap<String, String>,
    /// Tests that must all hold.
    pub expressions: Vec<Expression>,
}

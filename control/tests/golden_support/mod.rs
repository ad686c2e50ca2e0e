//! Reading golden cases and printing what comes of them.

pub mod case;
pub mod print_report;
pub mod print_tables;
pub mod yaml;

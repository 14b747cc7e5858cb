//! Relations: the plan of a view, and the operators that maintain it.
//!
//! | file | contents |
//! |---|---|
//! | `plan` | the plan of a view: filters, aggregates, windows, joins, unions |
//! | `call` | aggregate functions and their types |
//! | `value` | values of rows, and their bytes |

pub mod call;
pub mod plan;
pub mod value;

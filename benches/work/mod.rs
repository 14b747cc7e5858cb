//! The stages of a record's way, each alone and with prepared input: one list, that the benches time
//! (`benches/stages.rs`) and the tests count instructions and allocations of (`tests/budgets/`).
//!
//! | module | stages |
//! |---|---|
//! | [`messages`] | none: the messages that all of them begin with |
//! | [`decode`] | each form of message to a batch; [`mapped`] has those of other producers |
//! | [`accumulate`] | sums of a correlation, and r |
//! | [`views`] | each view alone, and all of them with decoder and rendering |
//! | [`render`] | each view's rows to CSV lines and SQL values |

mod accumulate;
mod decode;
mod mapped;
mod messages;
mod render;
mod views;

/// Records a batch, as a source takes them.
pub const BATCH: usize = 4096;

/// One stage.
pub struct Stage {
    /// Its name: `group/stage`.
    pub name: String,
    set_up: Box<dyn Fn(usize) -> Box<dyn Work>>,
}

impl Stage {
    fn new<W: Work + 'static>(name: impl Into<String>, set_up: impl Fn(usize) -> W + 'static) -> Self {
        Self { name: name.into(), set_up: Box::new(move |batches| Box::new(set_up(batches))) }
    }

    /// What the stage does with as many batches a run.
    pub fn set_up(&self, batches: usize) -> Box<dyn Work> {
        (self.set_up)(batches)
    }
}

/// What a stage does, again and again.
pub trait Work {
    /// Makes the input of the next run, which is not the stage's work.
    fn prepare(&mut self) {}

    /// Does the work.
    fn run(&mut self);

    /// How many records, rows or values a run works on.
    fn elements(&self) -> u64;
}

/// All stages.
pub fn stages() -> Vec<Stage> {
    [decode::stages(), accumulate::stages(), views::stages(), render::stages()]
        .into_iter()
        .flatten()
        .collect()
}

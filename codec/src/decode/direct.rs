//! Fills a row straight from a datum of Avro. Which values the fields need is resolved once for a schema, so that a message needs
//! no names, and no memory for values that nobody reads.

use super::avro::AvroSchema;
use super::avro::datum::Reader;
use super::avro::types::{Type, TypeId, Types};
use super::layout::Fill;
use super::plan::{Node, Plan, Slot};
use super::tree::{Scalar, Tree};
use super::undecodable::{Undecodable, check_depth};

/// How a row is filled from the data of a schema.
#[derive(Debug)]
pub(super) struct Direct {
    root: Step,
    /// The fields that are not in a message.
    others: Box<[usize]>,
}

/// What is done with a value. Each field gets its value, or none, in exactly one step.
#[derive(Debug)]
enum Step {
    /// No field needs it.
    Skip(TypeId),
    /// Fields need it, and nothing within it.
    Take(TypeId, Needs),
    /// One step for each branch.
    Union(Box<[Self]>),
    /// One step for each field of the record.
    Record(Box<[Self]>, Needs),
}

/// The fields of the mapping that a value is for.
#[derive(Debug)]
struct Needs {
    /// They get the value.
    value: Box<[usize]>,
    /// They need what the value does not contain.
    absent: Box<[usize]>,
}

impl Needs {
    fn fill<'a>(&self, value: &Scalar<'a>, out: &mut impl Fill<'a>) {
        self.value.iter().for_each(|field| out.field(*field, Some(value)));
        self.absent.iter().for_each(|field| out.field(*field, None));
    }
}

impl Direct {
    /// None if a reading is not the whole datum, or if fields need elements of its arrays or maps.
    pub fn new(schema: &AvroSchema, plan: &Plan) -> Option<Self> {
        let types = schema.types();
        let is_whole = plan.message.slots == 0 && plan.message.nodes[0].is_root && plan.texts.is_empty();
        if !is_whole || !matches!(types.all[types.root], Type::Record(_)) {
            return None;
        }
        let root = Compiler { types, plan }.step(types.root, Some(&plan.reading.nodes[0]))?;
        let places = plan.places.iter().enumerate();
        let others = places.filter(|(_, place)| **place == Slot::Nowhere).map(|(field, _)| field).collect();
        Some(Self { root, others })
    }

    /// Fills the row. None if the datum is malformed: then the general pass finds out why.
    #[inline]
    pub fn read<'a>(&self, schema: &'a AvroSchema, datum: &'a [u8], out: &mut impl Fill<'a>) -> Option<()> {
        let mut reader = Reader::new(schema.types(), datum);
        out.begin();
        run(&self.root, &mut reader, 1, out).ok()?;
        self.others.iter().for_each(|field| out.field(*field, None));
        reader.is_done().then_some(())
    }
}

struct Compiler<'p> {
    types: &'p Types,
    plan: &'p Plan,
}

impl Compiler<'_> {
    fn step(&self, id: TypeId, node: Option<&Node>) -> Option<Step> {
        let Some(node) = node else { return Some(Step::Skip(id)) };
        let value = self.fields(|slot| node.slot == Some(slot));
        let of_type = match &self.types.all[id] {
            Type::Union(branches) => {
                let steps: Option<_> = branches.iter().map(|branch| self.step(*branch, Some(node))).collect();
                return steps.map(Step::Union);
            }
            Type::Array(_) | Type::Map(_) if !node.below.is_empty() => return None,
            Type::Record(fields) => fields,
            _ => {
                let absent = self.fields(|slot| node.below.contains(&slot));
                return Some(Step::Take(id, Needs { value, absent }));
            }
        };
        let child = |name: &str| node.child(name).map(|child| &self.plan.reading.nodes[child]);
        let is_within = |slot: usize, name: &str| {
            child(name).is_some_and(|child| child.slot == Some(slot) || child.below.contains(&slot))
        };
        let absent = self.fields(|slot| {
            node.below.contains(&slot) && !of_type.iter().any(|(name, _)| is_within(slot, name))
        });
        let steps: Option<_> = of_type.iter().map(|(name, of)| self.step(*of, child(name))).collect();
        Some(Step::Record(steps?, Needs { value, absent }))
    }

    /// The fields whose values are in these slots.
    fn fields(&self, is_here: impl Fn(usize) -> bool) -> Box<[usize]> {
        let places = self.plan.places.iter().enumerate();
        let here = places.filter(|(_, place)| matches!(place, Slot::Reading(slot) if is_here(*slot)));
        here.map(|(field, _)| field).collect()
    }
}

fn run<'a>(
    step: &Step,
    reader: &mut Reader<'a>,
    depth: usize,
    out: &mut impl Fill<'a>,
) -> Result<(), Undecodable> {
    match step {
        Step::Skip(id) => reader.skip(*id, depth)?,
        Step::Take(id, needs) => match reader.value(*id, depth)? {
            Tree::Scalar(value) => needs.fill(&value, out),
            Tree::Object(_) | Tree::Array(_) => needs.fill(&Scalar::Nested, out),
        },
        Step::Union(branches) => run(reader.branch(branches)?, reader, depth, out)?,
        Step::Record(steps, needs) => {
            check_depth(depth)?;
            reader.values.take(steps.len())?;
            needs.fill(&Scalar::Nested, out);
            for step in steps {
                run(step, reader, depth + 1, out)?;
            }
        }
    }
    Ok(())
}

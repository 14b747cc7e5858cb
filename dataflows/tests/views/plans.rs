//! The built-in views as plans, as `truckflow` makes them of SQL.

use dataflows::expression::{Arithmetic, Comparison, Expression, Test};
use dataflows::relation::{
    Aggregate, Bound, Call, From, Function, Join, Keep, Patience, PlannedView, Relation, Source, Window,
    WindowKind,
};
use dataflows::rows::Type;
use dataflows::views::Settings;

/// The length of windows, the time until a truck is idle, and the retention of windows, in microseconds.
pub const WINDOW: i64 = 300_000_000;
pub const IDLE: i64 = 300_000_000;
pub const RETENTION: i64 = 86_400_000_000;
/// How far behind a truck's latest event the join still accepts readings, in microseconds.
pub const JOIN_RETENTION: i64 = 600_000_000;

/// Makes plans over the fields of a record.
struct Plans<'a>(&'a Settings);

impl Plans<'_> {
    fn field(&self, name: &str) -> Expression {
        Expression::field(self.0.schema.field(name).expect("a field"))
    }

    fn fields<const N: usize>(&self, names: [&str; N]) -> Vec<Expression> {
        names.map(|name| self.field(name)).into()
    }

    /// `engine_speed * 1.2` and `distance_covered / engine_speed`.
    fn derived(&self) -> [Expression; 2] {
        let factor = Expression::number(12, 1).expect("it is small");
        let scaled = Expression::arithmetic(Arithmetic::Multiply, self.field("engine_speed"), factor);
        let [distance, speed] = ["distance_covered", "engine_speed"].map(|name| self.field(name));
        let ratio = Expression::arithmetic(Arithmetic::Divide, distance, speed);
        [scaled.and_then(Expression::to_real), ratio].map(|number| number.expect("numbers"))
    }

    fn is_there(&self, name: &str) -> Expression {
        self.field(name).is(Test::Null).and_then(Expression::negation).expect("a condition")
    }

    /// A correlation per truck: the latest y, the latest x or the seconds since the first reading, r, the truck, the
    /// number of readings, the latest time.
    fn correlation(&self, name: &'static str, x: Option<&str>, y: &str, latest: bool) -> PlannedView {
        let call =
            |function, of: Vec<Expression>| Call::new(function, of, false, None).expect("it takes these");
        let time = || self.field("timestamp");
        let axis = x.map_or_else(time, |x| self.field(x));
        let calls = vec![
            call(Function::Last, vec![self.field(y)]),
            call(Function::Max, vec![time()]),
            call(Function::Min, vec![time()]),
            call(Function::Corr, vec![self.field(y), axis.clone()]),
            call(Function::Count, Vec::new()),
            call(Function::Last, vec![axis]),
        ];
        let conditions = x.into_iter().chain([y]).map(|name| self.is_there(name)).collect();
        let aggregate = Relation::Aggregate(Box::new(Aggregate {
            source: Source { from: From::Readings, filter: Expression::and(conditions).ok() },
            keys: self.fields(["truck_id"]),
            is_whole: false,
            window: None,
            calls,
            time: Some(time()),
        }));
        let [truck, last, newest, oldest, r, samples, first]: [Expression; 7] =
            Expression::of_columns(&aggregate.columns()).try_into().expect("a key and six calls");
        let first = match x {
            Some(_) => first,
            None => Expression::elapsed(newest.clone(), oldest).expect("times"),
        };
        let columns = vec![last, first, r, truck, samples, newest];
        let relation = Relation::Select { source: Source::of(aggregate), columns };
        let names = ["y", "x", "correlation", "truck_id", "samples", "timestamp"].map(str::to_owned);
        let keep = if latest { Keep::Latest } else { Keep::History };
        PlannedView { keep, doubles: true, ..PlannedView::new(name, "T", names, relation) }
    }

    fn windows(&self) -> PlannedView {
        let call = |function, of: &[&str]| {
            let of = of.iter().map(|name| self.field(name)).collect();
            Call::new(function, of, false, None).expect("it takes these")
        };
        let calls = vec![
            call(Function::Count, &[]),
            call(Function::Avg, &["distance_covered"]),
            call(Function::Avg, &["engine_speed"]),
            call(Function::Avg, &["fuel_consumed"]),
            call(Function::Corr, &["distance_covered", "timestamp"]),
            call(Function::Corr, &["engine_speed", "timestamp"]),
        ];
        let relation = Relation::Aggregate(Box::new(Aggregate {
            source: Source { from: From::Readings, filter: None },
            keys: self.fields(["truck_id"]),
            is_whole: false,
            window: Some(Window {
                time: self.field("timestamp"),
                kind: WindowKind::Hop { slide: WINDOW, size: WINDOW },
                patience: Patience { grace: RETENTION, idle: IDLE },
            }),
            calls,
            time: Some(self.field("timestamp")),
        }));
        let names = (0..9).map(|number| format!("c{number}"));
        PlannedView::new("window_averages", "T", names, relation)
    }

    /// The readings for which a condition holds, joined with every reading of the truck with the same timestamp.
    fn join(&self, condition: Expression, limit: Option<u64>) -> PlannedView {
        let names = ["timestamp", "distance_covered", "engine_speed", "truck_id"];
        let side = |filter| Relation::Select {
            source: Source { from: From::Readings, filter },
            columns: self.fields(names),
        };
        let (left, right) = (side(Some(condition)), side(None));
        let of_side = Expression::of_columns(&left.columns());
        let [time, truck] = [0, 3].map(|place| of_side[place].clone());
        let bound = Bound {
            left: time.clone(),
            right: time,
            from: 0,
            to: 0,
            patience: Patience { grace: JOIN_RETENTION, idle: IDLE },
        };
        let join = Join { left, right, keys: vec![(truck.clone(), truck)], bound: Some(bound), limit };
        let join = Relation::Join(Box::new(join));
        let pairs = Expression::of_columns(&join.columns());
        let columns = [0, 1, 4 + 2, 3].map(|place: usize| pairs[place].clone()).into();
        let relation = Relation::Select { source: Source::of(join), columns };
        let view = PlannedView::new("filtered_join", "T", names.map(str::to_owned), relation);
        PlannedView { doubles: true, ..view }
    }

    fn select(
        &self,
        name: &'static str,
        filter: Option<Expression>,
        columns: Vec<Expression>,
    ) -> PlannedView {
        let names: Vec<String> = (0..columns.len()).map(|number| format!("c{number}")).collect();
        let source = Source { from: From::Readings, filter };
        let view = PlannedView::new(name, "T", names, Relation::Select { source, columns });
        PlannedView { doubles: true, ..view }
    }
}

/// The views: `latest` says whether correlations keep one row per truck, and `join_limit` how many readings of a truck
/// may share a timestamp in the join.
pub fn plans(settings: &Settings, latest: bool, join_limit: Option<u64>) -> Vec<PlannedView> {
    let of = Plans(settings);
    let measures = ["timestamp", "distance_covered", "engine_speed", "fuel_consumed"];
    let [scaled, ratio] = of.derived();
    let above = |limit: i128| {
        let limit = Expression::number(limit, 0).expect("it is small");
        Expression::compare(Comparison::Greater, of.field("engine_speed"), limit).expect("numbers")
    };
    let metric = |name: &str, value: Expression| {
        let [time, truck] = ["timestamp", "truck_id"].map(|name| of.field(name));
        let source = Source { from: From::Readings, filter: None };
        Relation::Select { source, columns: vec![time, Expression::text(name), value, truck] }
    };
    let both = Relation::Union(vec![
        metric("engine_speed_scaled", scaled.clone()),
        metric("distance_engine_ratio", ratio.clone()),
    ]);
    let two = Expression::number(2, 0).expect("it is small");
    let doubled =
        Expression::arithmetic(Arithmetic::Multiply, of.field("oil_pressure"), two).expect("numbers");
    let hot = Expression::compare(Comparison::Greater, doubled, of.field("engine_speed")).expect("numbers");
    vec![
        of.select("parameter_map", None, [of.fields(measures), of.fields(["truck_id"])].concat()),
        of.correlation("distance_correlation", None, "distance_covered", latest),
        of.correlation("engine_speed_correlation", None, "engine_speed", latest),
        of.correlation("fuel_with_oil", Some("oil_pressure"), "fuel_consumed", latest),
        of.select(
            "transformed",
            None,
            [of.fields(measures), vec![scaled, ratio.clone()], of.fields(["truck_id"])].concat(),
        ),
        PlannedView::new("derived_metrics", "T", ["a", "b", "c", "d"].map(str::to_owned), both),
        of.select(
            "above_speed",
            Some(above(80)),
            of.fields(["timestamp", "distance_covered", "engine_speed", "truck_id"]),
        ),
        of.select("hot", Some(hot), [of.fields(["timestamp", "truck_id"]), vec![ratio]].concat()),
        of.windows(),
        of.join(above(80), join_limit),
    ]
}

#[test]
fn columns_of_built_in_views_are_doubles() {
    let types = plans(&crate::records::settings(dataflows::views::Mode::Append), false, None)
        .into_iter()
        .flat_map(|view| view.columns())
        .map(|column| column.column_type);
    assert!(types.into_iter().all(|column_type| !matches!(column_type, Type::Exact { .. })));
}

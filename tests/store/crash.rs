//! Crashes between every two operations of the simulated disk.
//!
//! A workload puts entries into a store one by one, and notes after each all that the pass has derived.
//! Whatever disk a crash leaves, the store that is opened on it has derived exactly what it had after
//! some entry, none before the last that was acknowledged, and goes on from there.
//!
//! `RINGBOLT_STORE_CRASH_STATES` sets how many states each wreck is sampled for.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ringbolt::disk::Disk;
use ringbolt::disk::sim::{SimDisk, SimOptions, Wreck};
use ringbolt::store::{
    Batch, NewRecord, Producer, ReadFrom, Store, StoreTicket, StoreView, Stream, StreamOptions,
    StreamReadOptions,
};
use ringbolt::{Driver, Engine, ErrorKind, Poll, Position, Result, Visibility};

use crate::support::{DIR, options};

/// States that are sampled of each wreck, of those after a power failure and those after a kill each.
const STATES: usize = 6;

/// A store that the test drives, and what is known of its past.
struct Actor {
    disk: SimDisk,
    store: Option<Store>,
    driver: Option<Driver>,
    /// How often the store is told the time.
    step: Duration,
    /// Whether what was derived is noted after each turn: the store does things by itself that are seen.
    notes_turns: bool,
    /// What was derived, by the text, and after how many entries that was so first and last.
    history: BTreeMap<String, (usize, usize)>,
    /// For each entry, the last operation before it was acknowledged.
    acked_at: Vec<u64>,
    waiting: Vec<(usize, Box<dyn Fn() -> bool>)>,
}

/// A recorded run.
struct Run {
    history: BTreeMap<String, (usize, usize)>,
    acked_at: Vec<u64>,
    /// Whether the store appended by itself, between the entries that were noted.
    moved: bool,
    wrecks: Vec<Wreck>,
}

impl Actor {
    fn record(act: fn(&mut Self), seed: u64, direct: bool) -> Run {
        let disk = SimOptions::new().seed(seed).direct(direct).build();
        disk.record_wrecks();
        let mut actor = Self {
            disk,
            store: None,
            driver: None,
            step: Duration::MAX,
            notes_turns: false,
            history: BTreeMap::new(),
            acked_at: Vec::new(),
            waiting: Vec::new(),
        };
        actor.open();
        actor.note();
        act(&mut actor);
        actor.settle();
        Run {
            moved: actor.store().stats().moved_records > 0 || actor.notes_turns,
            history: actor.history,
            acked_at: actor.acked_at,
            wrecks: actor.disk.take_wrecks(),
        }
    }

    fn open(&mut self) {
        let builder = Engine::builder().disk(Arc::new(self.disk.clone()));
        let (engine, driver) = builder.caller_driven().unwrap();
        self.store = Some(
            options()
                .time_step(self.step)
                .open_on(&engine, DIR)
                .unwrap(),
        );
        self.driver = Some(driver);
    }

    fn store(&self) -> Store {
        self.store.clone().expect("the store is open")
    }

    /// Notes what was derived after the entries so far, and what of it can be seen.
    fn note(&mut self) {
        let store = self.store();
        let entries = self.acked_at.len();
        for text in [store.fingerprint().unwrap().1, seen(&store)] {
            let seen = self.history.entry(text).or_insert((entries, entries));
            seen.1 = entries;
        }
    }

    /// Puts an entry into the store; returns what it became.
    fn put<T: 'static>(
        &mut self,
        mut put: impl FnMut(&Store) -> Result<StoreTicket<T>>,
    ) -> Result<T> {
        let store = self.store();
        let ticket = loop {
            match put(&store) {
                Ok(ticket) => break Arc::new(ticket),
                Err(error) if error.is_retryable() => self.turn(),
                Err(error) => panic!("{error}"),
            }
        };
        let mut verdict = ticket.try_applied();
        while let Ok(None) = verdict {
            self.turn();
            verdict = ticket.try_applied();
        }
        let entry = self.acked_at.len();
        self.acked_at.push(u64::MAX);
        self.waiting
            .push((entry, Box::new(move || ticket.is_durable())));
        self.note();
        verdict.map(|verdict| verdict.expect("it was judged"))
    }

    fn batch(&mut self, fill: impl Fn(&mut Batch)) -> Result<()> {
        let mut batch = Batch::new();
        fill(&mut batch);
        self.put(|store| store.try_commit(&batch)).map(|_| ())
    }

    fn create(&mut self, name: &str) -> Stream {
        let options = StreamOptions::new();
        self.batch(|batch| drop(batch.create(name, &options)))
            .unwrap();
        self.store().stream(name).unwrap()
    }

    fn stream(&self, name: &str) -> Stream {
        self.store().stream(name).unwrap()
    }

    fn append(&mut self, stream: &Stream, record: NewRecord<'_>) {
        let _ = self.put(|_| stream.try_append(record));
    }

    /// One turn of the engine; what is acknowledged is noted at once.
    fn turn(&mut self) {
        self.look();
        let driver = self.driver.as_mut().expect("the engine is there");
        match driver.poll().unwrap() {
            Poll::Busy | Poll::Ended => {}
            Poll::Idle => {
                let time = Duration::from_millis(1);
                driver.wait(Some(time)).unwrap();
            }
            Poll::IdleFor(time) => driver.wait(Some(time)).unwrap(),
        }
        self.look();
        if self.notes_turns {
            self.note();
        }
    }

    /// What the store does by itself meanwhile is judged apart from what comes next.
    fn turns(&mut self, count: usize) {
        (0..count).for_each(|_| self.turn());
    }

    fn look(&mut self) {
        let now = self.disk.operations();
        let acked_at = &mut self.acked_at;
        self.waiting.retain(|(entry, is_durable)| {
            if is_durable() {
                acked_at[*entry] = now;
            }
            !is_durable()
        });
    }

    /// Turns until all that was put in is durable.
    fn settle(&mut self) {
        for _ in 0..100_000 {
            if self.waiting.is_empty() {
                return;
            }
            self.turn();
        }
        panic!("never acknowledged");
    }

    /// Lets everything go without closing, as a process that ends does, and opens it again.
    fn reopen(&mut self) {
        self.settle();
        let (_, before) = self.store().fingerprint().unwrap();
        self.driver = None;
        self.store = None;
        self.open();
        let (_, after) = self.store().fingerprint().unwrap();
        assert_eq!(before, after);
    }
}

/// Appends of all kinds, some refused.
fn appends(actor: &mut Actor) {
    actor.create("a");
    actor.create("b");
    for n in 0..12u32 {
        let (a, b) = (actor.stream("a"), actor.stream("b"));
        let payload = vec![n as u8; (n * 531 % 2000) as usize];
        let record = NewRecord::new(&payload);
        let stamp = Producer {
            id: 1,
            epoch: 0,
            sequence: n / 2,
        };
        actor.append(&a, record.producer(stamp));
        actor.append(
            &b,
            record.if_next((n / 3).into()).key(b"key").count(1 + n % 2),
        );
        if n % 4 == 0 {
            actor.settle();
        }
        if n == 6 {
            actor.reopen();
        }
        let id = (n % 5).to_le_bytes();
        let (a, b) = (actor.stream("a"), actor.stream("b"));
        actor.append(&a, record.message_id(&id));
        actor.append(&b, record);
    }
}

/// Consume, transform, produce; acknowledgements; the table.
fn pipeline(actor: &mut Actor) {
    let (a, b) = (actor.create("a"), actor.create("b"));
    actor
        .batch(|batch| drop(batch.seek(&a, "group", 0, b"none")))
        .unwrap();
    for n in 0..10u64 {
        actor.append(&a, NewRecord::new(&n.to_le_bytes()));
        let done = actor.batch(|batch| {
            let item = batch.append(&b, &n.pow(2).to_le_bytes()).unwrap();
            batch.acknowledge(&a, "group", n..n + 1).unwrap();
            batch.put_offset(b"last", &[0; 8], item, 0).unwrap();
            batch.require_next(&b, n - n / 7);
        });
        assert_eq!(done.is_ok(), n != 7);
        let (_, late) = (actor.put(|_| a.acknowledge("group", n / 2..n / 2 + 1)), n);
        if late % 3 == 0 {
            actor.settle();
        }
    }
}

/// Trims, cuts, single records, streams that go and come back; across segments.
fn cuts(actor: &mut Actor) {
    let (mut a, b) = (actor.create("a"), actor.create("b"));
    let large = vec![7; 90_000];
    for n in 0..28u64 {
        actor.append(&a, NewRecord::new(&large[..(n * 3000) as usize]));
        actor.append(&b, NewRecord::new(&n.to_le_bytes()).count(3));
        match n % 7 {
            2 => drop(actor.put(|_| b.trim(n))),
            3 => drop(actor.put(|_| b.truncate(b.describe()?.next - 2))),
            4 => drop(actor.put(|_| a.erase(a.describe()?.first))),
            5 => {
                actor.put(|_| a.delete()).unwrap();
                a = actor.create("a");
            }
            6 => actor.settle(),
            _ => {}
        }
    }
}

/// Indexes, snapshots, segments that go: what lies beside the log, and the log's begin.
fn retires(actor: &mut Actor) {
    let (a, b) = (actor.create("a"), actor.create("b"));
    let large = vec![7; 300_000];
    for n in 0..26u64 {
        actor.append(&a, NewRecord::new(&large));
        if n % 5 == 0 {
            actor.append(&b, NewRecord::new(&n.to_le_bytes()));
        }
        match n % 8 {
            3 => drop(actor.put(|_| b.truncate(b.describe()?.next - 1))),
            5 => drop(actor.put(|_| b.trim(b.describe()?.next - 1))),
            7 => drop(actor.put(|_| a.trim(n - 1))),
            _ => actor.settle(),
        }
    }
    actor.turns(60);
    // It did what it is for.
    let dir = actor.disk.open_dir(DIR.as_ref()).unwrap();
    let names: Vec<_> = dir
        .list()
        .unwrap()
        .into_iter()
        .map(|entry| entry.name)
        .collect();
    assert!(
        names.iter().any(|name| name.ends_with(".snap")),
        "{names:?}"
    );
    assert!(
        !names.iter().any(|name| name == "00000000001.seg"),
        "{names:?}"
    );
}

/// What is wanted of a segment is moved forward, while its stream is trimmed, cut, deleted.
fn moves(actor: &mut Actor) {
    let (a, b) = (actor.create("a"), actor.create("b"));
    let mut c = actor.create("c");
    let large = vec![7; 300_000];
    for n in 0..30u64 {
        actor.append(&a, NewRecord::new(&large));
        actor.append(&b, NewRecord::new(&n.to_le_bytes()).count(2));
        actor.append(&c, NewRecord::new(&n.to_le_bytes()));
        match n % 10 {
            3 => drop(actor.put(|_| b.truncate(b.describe()?.next - 3))),
            5 => drop(actor.put(|_| b.trim(b.describe()?.first + 3))),
            6 => drop(actor.put(|_| b.erase(b.describe()?.first + 4))),
            8 => {
                actor.put(|_| c.delete()).unwrap();
                c = actor.create("c");
            }
            _ => {}
        }
        drop(actor.put(|_| a.trim(n)));
        actor.settle();
    }
    actor.turns(60);
    // It did what it is for.
    assert!(actor.store().stats().moved_records > 3);
    let dir = actor.disk.open_dir(DIR.as_ref()).unwrap();
    let names: Vec<_> = dir
        .list()
        .unwrap()
        .into_iter()
        .map(|entry| entry.name)
        .collect();
    assert!(
        !names.iter().any(|name| name == "00000000001.seg"),
        "{names:?}"
    );
}

/// What goes by itself as time passes.
fn ages(actor: &mut Actor) {
    actor.settle();
    actor.step = Duration::from_secs(1);
    actor.notes_turns = true;
    actor.reopen();
    let options = StreamOptions::new()
        .retain_age(Duration::from_secs(4))
        .message_ids(10, Duration::from_secs(2))
        .cursors_expire(Duration::from_secs(6));
    actor
        .batch(|batch| drop(batch.create("a", &options)))
        .unwrap();
    let a = actor.stream("a");
    for n in 0..10u64 {
        let id = (n % 3).to_le_bytes();
        actor.append(&a, NewRecord::new(&n.to_le_bytes()).message_id(&id));
        match n {
            2 => drop(actor.put(|_| a.hold("slow", 1, b""))),
            5 => drop(actor.put(|_| a.acknowledge("slow", 1..3))),
            _ => {}
        }
        // The clock leaps to what is due next.
        actor.turns(6);
        actor.settle();
    }
    actor.turns(60);
    // It did what it is for.
    let info = a.describe().unwrap();
    assert!(info.first > 0 && info.cursors.is_empty(), "{info:?}");
}

/// Of each key the latest is kept, while some of those are cut off or removed.
fn compacts(actor: &mut Actor) {
    actor.notes_turns = true;
    let options = StreamOptions::new().latest_by_key();
    actor
        .batch(|batch| drop(batch.create("a", &options)))
        .unwrap();
    let a = actor.stream("a");
    let large = vec![7; 120_000];
    for n in 0..44u64 {
        let key = (n % 5).to_le_bytes();
        let record = NewRecord::new(&large).key(&key).count(1 + (n % 2) as u32);
        actor.append(&a, record);
        actor.turns(6);
        match n % 12 {
            4 => drop(actor.put(|_| a.truncate(a.describe()?.next - 2))),
            7 => drop(actor.put(|_| a.erase(a.describe()?.next - 1))),
            9 => drop(actor.put(|_| a.trim(n / 2))),
            _ => {}
        }
        actor.turns(6);
        actor.settle();
    }
    actor.turns(60);
    // It did what it is for.
    let mut reader = a.reader(ReadFrom::Earliest).unwrap();
    let count = std::iter::from_fn(|| reader.try_next().unwrap()).count();
    assert!((5..25).contains(&count), "{count} records are left");
}

#[test]
fn what_is_recovered_is_what_was() {
    let states: usize = std::env::var("RINGBOLT_STORE_CRASH_STATES")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(STATES);
    type Act = fn(&mut Actor);
    let workloads: [(&str, Act, bool); 8] = [
        ("appends", appends, true),
        ("appends buffered", appends, false),
        ("pipeline", pipeline, true),
        ("cuts", cuts, true),
        ("retires", retires, true),
        ("moves", moves, true),
        ("ages", ages, true),
        ("compacts", compacts, true),
    ];
    let (mut explored, mut wrecks) = (0, 0);
    for (name, act, direct) in workloads {
        let run = Actor::record(act, 1, direct);
        wrecks += run.wrecks.len();
        let next = AtomicUsize::new(0);
        let count = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
                scope.spawn(|| {
                    while let Some(wreck) = run.wrecks.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let seed = wreck.operation();
                        let power = wreck.crash_states(states, seed).take(states);
                        let kill = wreck.kill_states(states, seed).take(states);
                        for state in power.chain(kill) {
                            let line = state.describe();
                            count.fetch_add(1, Ordering::Relaxed);
                            if let Err(why) = check(&run, wreck.operation(), &state) {
                                panic!("{name}: {line}: {why}");
                            }
                        }
                    }
                });
            }
        });
        explored += count.into_inner();
    }
    let told = writeln!(
        std::io::stdout(),
        "crash states of stores explored: {explored}, of {} workloads, {wrecks} crash points",
        workloads.len(),
    );
    assert!(told.is_ok());
    assert!(explored > wrecks, "explored only {explored}");
}

/// What can be seen of a store, wherever its records lie.
fn seen(store: &Store) -> String {
    let mut text = format!("{:?}\n", store.scan(b"", None, usize::MAX));
    for mut info in store.streams("", None, usize::MAX) {
        // What was moved counts exactly.
        info.bytes = 0;
        let stream = store.stream(&info.name).unwrap();
        let options = StreamReadOptions::new().visibility(Visibility::Committed);
        let mut reader = stream.reader_with(ReadFrom::Earliest, &options).unwrap();
        let _ = writeln!(text, "{info:?}");
        while let Some(record) = reader.try_next().unwrap() {
            let sum: u64 = record.payload().iter().map(|byte| u64::from(*byte)).sum();
            let (len, key) = (record.payload().len(), record.key());
            let (offset, count) = (record.offset(), record.count());
            let _ = writeln!(text, "{offset} {count} {key:?} {len} {sum}");
        }
    }
    text
}

/// Opens what a crash has left, twice, and appends to it. Where the store appended by itself only what
/// can be seen must have been noted.
fn check(run: &Run, operation: u64, state: &SimDisk) -> std::result::Result<(), String> {
    let acked = run.acked_at.iter().filter(|at| **at < operation).count();
    let open = || {
        let builder = Engine::builder().disk(Arc::new(state.clone()));
        let (engine, driver) = builder.caller_driven().unwrap();
        (options().open_on(&engine, DIR), driver)
    };
    // Who only reads derives what the next writer does; while writes are in flight, when that was there.
    let settled = !state.has_orphans();
    let view = match StoreView::open_on(state, DIR) {
        Err(error) if error.kind() == ErrorKind::NotALog => None,
        view => Some(view.map_err(|error| format!("viewing: {error}"))?),
    };
    let viewed = |view: &StoreView| view.fingerprint().unwrap().1;
    let before = view.as_ref().filter(|_| settled).map(viewed);
    let (store, driver) = open();
    let store = store.map_err(|error| format!("opening: {error}"))?;
    let (_, found) = store.fingerprint().unwrap();
    let after = view
        .as_ref()
        .map(|view| view.refresh().map(|_| viewed(view)));
    let after = after.transpose().map_err(|error| error.to_string())?;
    if before.into_iter().chain(after).any(|seen| seen != found) {
        return Err("a view derived something else".into());
    }
    let visible = seen(&store);
    let known = run.history.get(if run.moved { &visible } else { &found });
    let Some((_, last)) = known.filter(|_| run.history.contains_key(&visible)) else {
        return Err(format!("this was never so:\n{visible}\n{found}"));
    };
    if *last < acked {
        return Err(format!(
            "{acked} entries were acknowledged, and {last} are there"
        ));
    }
    drop((store, driver));
    let (store, mut driver) = open();
    let store = store.map_err(|error| format!("opening again: {error}"))?;
    if store.fingerprint().unwrap().1 != found {
        return Err("opening again changed what is derived".into());
    }
    let mut batch = Batch::new();
    let made = batch.create("made", &StreamOptions::new());
    batch.put(b"after", b"the crash").unwrap();
    made.map_err(|error| error.to_string())?;
    let ticket = store.commit(&batch).map_err(|error| error.to_string())?;
    for _ in 0..1000 {
        if let Some(committed) = ticket.try_applied().map_err(|error| error.to_string())? {
            let there = store.stream("made").is_ok() && committed.results.len() == 2;
            return there
                .then_some(())
                .ok_or_else(|| "it does not go on".into());
        }
        driver.poll().map_err(|error| error.to_string())?;
    }
    Err(format!("nothing is applied: {:?}", Position::MIN))
}

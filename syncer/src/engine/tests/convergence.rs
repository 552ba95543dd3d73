//! Both clusters fail in every way they can, one after the other and together; afterwards they agree.

use super::*;
use crate::testing::fake::{Availability, Disorder, NO_ANSWER, next};
use crate::testing::with_namespaces;

/// Time until both sides must agree: longer than a lost change may stay lost.
const AGREED_WITHIN: Duration = Duration::from_secs(600);
const COMPARE_EVERY: Duration = Duration::from_secs(30);

/// Something that happens to one of the API servers.
#[derive(Clone, Copy, Debug)]
enum Trouble {
    Paused,
    Down,
    Up,
    Compacted,
    /// Watches show things in another order, several times or never.
    Disorder {
        seed: u64,
        loses: bool,
    },
    Order,
    /// Watches show nothing any more.
    Mute,
    /// A third of the requests fails, in the ways of the list.
    Failing {
        seed: u64,
    },
}

#[derive(Clone, Debug)]
enum Event {
    Cluster(Happening),
    Trouble(Side, Trouble),
}

fn trouble() -> impl Strategy<Value = Trouble> {
    prop_oneof![
        1 => Just(Trouble::Paused),
        1 => Just(Trouble::Down),
        3 => Just(Trouble::Up),
        1 => Just(Trouble::Compacted),
        2 => (any::<u64>(), any::<bool>()).prop_map(|(seed, loses)| Trouble::Disorder { seed, loses }),
        1 => Just(Trouble::Order),
        1 => Just(Trouble::Mute),
        2 => any::<u64>().prop_map(|seed| Trouble::Failing { seed }),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    let side = prop_oneof![Just(Side::Virtual), Just(Side::Host)];
    prop_oneof![
        3 => happening().prop_map(Event::Cluster),
        1 => (side, trouble()).prop_map(|(side, trouble)| Event::Trouble(side, trouble)),
    ]
}

impl Bridge {
    fn fake(&self, side: Side) -> &Fake {
        match side {
            Side::Virtual => &self.virtual_,
            Side::Host => &self.host,
        }
    }
}

fn strike(fake: &Fake, trouble: Trouble) {
    match trouble {
        Trouble::Paused => fake.set_availability(Availability::Paused),
        Trouble::Down => fake.set_availability(Availability::Down),
        Trouble::Up => fake.set_availability(Availability::Up),
        Trouble::Compacted => fake.compact(),
        Trouble::Disorder { seed, loses } => fake.set_disorder(Some(Disorder { seed, loses })),
        Trouble::Order => fake.set_disorder(None),
        Trouble::Mute => fake.mute(),
        Trouble::Failing { mut seed } => {
            const WAYS: [u16; 8] = [409, 422, 429, 500, 503, 504, 0, NO_ANSWER];
            fake.set_faults(Some(Box::new(move |_, _| {
                let dice = next(&mut seed);
                dice.is_multiple_of(3).then(|| WAYS[(dice / 3 % 8) as usize])
            })));
        }
    }
}

async fn scenario(events: Vec<Event>, layout: comparer::Layout) -> Option<String> {
    let (virtual_, host) = clusters();
    let settings = Settings {
        compare_every: COMPARE_EVERY,
        ..match layout {
            comparer::Layout::Joined => settings(),
            comparer::Layout::Own => with_namespaces(&[("team", "own-team")]),
        }
    };
    let mut bridge = Bridge::configured(virtual_, host, settings);
    bridge.virtual_.put(Kind::ConfigMap, config_map());
    for event in events {
        match event {
            Event::Cluster(what) => bridge = happen(bridge, what).await,
            Event::Trouble(side, trouble) => strike(bridge.fake(side), trouble),
        }
    }
    for fake in [&bridge.virtual_, &bridge.host] {
        fake.set_faults(None);
        fake.set_disorder(None);
        fake.set_availability(Availability::Up);
    }
    let deadline = Instant::now() + AGREED_WITHIN;
    loop {
        bridge.run_host();
        tokio::time::sleep(Duration::from_secs(1)).await;
        match comparer::difference(&bridge.virtual_, &bridge.host, layout) {
            None => break,
            Some(what) if Instant::now() > deadline => return Some(what),
            Some(_) => {}
        }
    }
    // Whatever a watch has shown woke what it concerns: it was not found by looking at everything again.
    let divergences = bridge.counted("syncer_divergences_total");
    (divergences > 0).then(|| format!("{divergences} were not woken"))
}

fn try_everything(cases: u32, layout: comparer::Layout) {
    let config = ProptestConfig {
        cases,
        max_shrink_iters: 200,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let outcome = TestRunner::new(config).run(&prop::collection::vec(event(), 1..40), |events| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .expect("a runtime");
        prop_assert_eq!(runtime.block_on(scenario(events, layout)), None);
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

/// Whatever happens in whatever order, and whatever both API servers do meanwhile: once they work again, both sides agree,
/// without duplicates and orphans. A failure shows the events and seeds that lead to it.
#[test]
fn both_sides_agree_after_any_trouble() {
    try_everything(96, comparer::Layout::Joined);
}

/// The same where namespaces have some of the host to themselves.
#[test]
fn both_sides_agree_about_namespaces_of_their_own() {
    try_everything(48, comparer::Layout::Own);
}

//! Whose connections go on when. Must never depend on how fast a machine is.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use tokio::task::LocalSet;

use super::{Gate, Turnstile};
use crate::engine::party::{Parties, Party, Standing};
use crate::host::account::{Account, Accounts};
use crate::host::meter::{now_ns, thread_cpu_ns};
use crate::tasks;

/// More than half of what may be used at once, and more than all of it.
const SOME_NS: u64 = 1_500_000;
const MUCH_NS: u64 = 50_000_000;

fn rig() -> (Rc<Parties>, Rc<Turnstile>) {
    let parties = Rc::new(Parties::default());
    (parties.clone(), Turnstile::new(parties, Rc::default()))
}

fn account(name: &str) -> Arc<Account> {
    Accounts::unlimited().of(&name.parse().unwrap())
}

fn on_a_thread(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    LocalSet::new().block_on(&runtime, test);
}

/// Goes through the turnstile so often, and says so each time.
async fn goes(gate: Gate, name: char, times: usize, said: Rc<RefCell<String>>) {
    for _ in 0..times {
        poll_fn(|cx| {
            let party = gate.party.borrow().clone();
            if gate.passes((&party, true), || 0, cx) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        said.borrow_mut().push(name);
        if let Some(ticket) = gate.ticket.take() {
            ticket.over.set(Some(1_000_000));
        }
    }
}

fn gate_of(turnstile: &Rc<Turnstile>, account: &Arc<Account>) -> Gate {
    let gate = Gate::new(turnstile);
    *gate.party.borrow_mut() = turnstile.parties.of(account);
    gate
}

async fn until(said: &Rc<RefCell<String>>, count: usize, which: &[char]) {
    while said.borrow().matches(which).count() < count {
        tokio::task::yield_now().await;
    }
}

#[test]
fn between_two_that_take_turns_whoever_else_is_ready_goes_on() {
    on_a_thread(async {
        let ((_, turnstile), said) = (rig(), Rc::new(RefCell::new(String::new())));
        let greedy = account("greedy");
        for _ in 0..8 {
            tasks::local(goes(gate_of(&turnstile, &greedy), 'g', 5, said.clone()));
        }
        let others = said.clone();
        tasks::local(async move {
            while others.borrow().matches('g').count() < 40 {
                others.borrow_mut().push('o');
                tokio::task::yield_now().await;
            }
        });
        tasks::local(turnstile.run());
        until(&said, 40, &['g']).await;
        assert!(!said.borrow().contains("gg"), "two at once: {}", said.borrow());
    });
}

/// How many go on at once is an estimate; the clock is not.
#[test]
fn a_turn_that_took_long_is_the_last_one_before_the_next_look() {
    let (_, turnstile) = rig();
    let (party, cx) = (turnstile.parties.strangers(), &mut Context::from_waker(Waker::noop()));
    let gates = [(); 3].map(|()| Gate::new(&turnstile));
    turnstile.round.begins(100);
    for gate in &gates {
        assert!(!gate.passes((&party, true), || 1_000, cx));
        turnstile.next().unwrap().passes.set(true);
    }
    let passes = |at: u64, cx: &mut _| gates.each_ref().map(|gate| gate.passes((&party, true), || at, cx));
    assert_eq!(passes(1_000, cx), [true; 3], "they began in time");
    assert_eq!(passes(1_100, cx), [false; 3], "the first one took all of it");
    turnstile.round.begins(0);
    assert_eq!(passes(1_200, cx), [true, false, false], "one always may");
    turnstile.round.begins(50);
    assert_eq!(passes(1_300, cx), [true; 3]);
}

#[test]
fn of_two_tenants_each_has_every_other_turn_however_many_connections_it_has() {
    on_a_thread(async {
        let ((_, turnstile), said) = (rig(), Rc::new(RefCell::new(String::new())));
        let (many, few) = (account("many"), account("few"));
        for _ in 0..15 {
            tasks::local(goes(gate_of(&turnstile, &many), 'm', 4, said.clone()));
        }
        tasks::local(goes(gate_of(&turnstile, &few), 'f', 20, said.clone()));
        tasks::local(turnstile.run());
        until(&said, 80, &['m', 'f']).await;
        let first: String = said.borrow().chars().take(40).collect();
        assert!(!first.contains("mmm") && first.matches('f').count() >= 18, "{first}");
    });
}

#[test]
fn who_is_not_greedy_passes_and_a_connection_that_is_gone_is_passed_over() {
    let (parties, turnstile) = rig();
    let party = parties.strangers();
    let cx = &mut Context::from_waker(Waker::noop());
    let (gone, stays) = (Gate::new(&turnstile), Gate::new(&turnstile));
    assert!(gone.passes((&party, false), || 0, cx));
    assert!(!gone.passes((&party, true), || 0, cx));
    assert!(!stays.passes((&party, true), || 0, cx));
    drop(gone);
    let next = turnstile.next().expect("one that stays");
    next.passes.set(true);
    assert!(stays.passes((&party, true), || 0, cx));
    assert!(turnstile.next().is_none());
    // Who has a ticket need not wait for its turn once there is nobody to give way to.
    let other = Gate::new(&turnstile);
    assert!(!other.passes((&party, true), || 0, cx));
    assert!(other.passes((&party, false), || 0, cx));
    assert!(turnstile.next().is_none());
}

/// Others are there, and this party has used so much.
fn uses(parties: &Parties, party: &Rc<Party>, used_ns: u64) {
    let now = now_ns();
    for party in [&parties.of(&account("other")), party] {
        let _ = parties.standing(party, now);
    }
    parties.charge(party, used_ns);
}

/// What has been used is forgotten with time, and so are others: a machine that stands still for long spoils a try, a fault
/// spoils all.
#[track_caller]
fn goes_well_once(scenario: impl Fn() -> Result<(), &'static str>) {
    let tries: Vec<_> = (0..100).map_while(|_| scenario().err()).collect();
    assert!(tries.len() < 100, "{:?}", tries.last());
}

fn expect(is: bool, what: &'static str) -> Result<(), &'static str> {
    if is { Ok(()) } else { Err(what) }
}

#[test]
fn what_a_turn_takes_is_charged_to_whose_it_was() {
    goes_well_once(|| {
        let (parties, turnstile) = rig();
        let tenant = account("tenant");
        let (party, gate) = (parties.of(&tenant), gate_of(&turnstile, &tenant));
        let cx = &mut Context::from_waker(Waker::noop());
        let now = now_ns();
        uses(&parties, &party, SOME_NS);
        // So much that the thread's own clock is asked.
        let turn = gate.opens(cx).ok_or("it is not greedy yet")?;
        let began = thread_cpu_ns();
        while thread_cpu_ns() - began < SOME_NS {}
        gate.closes(&turn);
        expect(parties.standing(&party, now) == Standing::Greedy, "it was charged")?;
        expect(parties.standing(&parties.strangers(), now) == Standing::Modest, "nobody else was")
    });
}

#[test]
fn a_new_connection_waits_for_whoever_is_at_it_already_and_for_nobody_else() {
    goes_well_once(|| {
        let (parties, turnstile) = rig();
        let (new, cx) = (Gate::new(&turnstile), &mut Context::from_waker(Waker::noop()));
        let turn = new.opens(cx).ok_or("nobody is there")?;
        new.closes(&turn);
        let tenant = account("tenant");
        uses(&parties, &parties.of(&tenant), 0);
        expect(gate_of(&turnstile, &tenant).opens(cx).is_some(), "who is known goes on")?;
        expect(new.opens(cx).is_none(), "who is not comes after")
    });
}

/// A first request says whose function a connection calls: one of a greedy tenant waits for its turn from there on.
#[test]
fn a_new_connection_of_a_greedy_tenant_waits_for_its_turn_too() {
    goes_well_once(|| {
        let mut result = Err("it did not run");
        on_a_thread(async {
            result = a_new_connection().await;
        });
        result
    });
}

async fn a_new_connection() -> Result<(), &'static str> {
    let (parties, turnstile) = rig();
    let greedy = account("greedy");
    let gate = Gate::new(&turnstile);
    let cx = &mut Context::from_waker(Waker::noop());
    let turn = gate.opens(cx).ok_or("a stranger goes on, as there are few")?;
    uses(&parties, &parties.of(&greedy), MUCH_NS);
    {
        let mut entering = pin!(gate.enters(&greedy));
        expect(entering.as_mut().poll(cx).is_pending(), "its request waits")?;
        gate.closes(&turn);
        expect(gate.opens(cx).is_none(), "its turn is yet to come")?;
        tasks::local(turnstile.clone().run());
        tokio::task::yield_now().await;
        let turn = gate.opens(cx).ok_or("now it is its turn")?;
        expect(entering.as_mut().poll(cx) == Poll::Ready(true), "it has waited")?;
        gate.closes(&turn);
    }
    Ok(())
}

/// Where requests come side by side, each is its own tenant's, and takes turns of its own until it is over.
#[test]
fn a_stream_of_a_greedy_tenant_waits_for_each_of_its_turns() {
    goes_well_once(|| {
        let mut result = Err("it did not run");
        on_a_thread(async {
            result = streams().await;
        });
        result
    });
}

async fn streams() -> Result<(), &'static str> {
    let (parties, turnstile) = rig();
    let (greedy, gate) = (account("greedy"), Rc::new(Gate::new(&turnstile)));
    let cx = &mut Context::from_waker(Waker::noop());
    let (polls, cleared_up) = (Cell::new(0), Cell::new(false));
    let guest = async {
        let (from, polls) = (gate.clone(), &polls);
        let _waste = Waste(|| cleared_up.set(true));
        from.enters(&greedy).await;
        poll_fn(|_| {
            polls.set(polls.get() + 1);
            if polls.get() < 3 { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
    };
    uses(&parties, &parties.of(&greedy), MUCH_NS);
    let mut stream = pin!(gate.clone().stream(guest));
    tasks::local(turnstile.clone().run());
    for turns in 0..3 {
        // The first time it says whose it is.
        expect(stream.as_mut().poll(cx).is_pending(), "it waits")?;
        if turns == 0 {
            expect(stream.as_mut().poll(cx).is_pending(), "and now for a turn")?;
        }
        expect(polls.get() == turns, "nothing went on")?;
        tokio::task::yield_now().await;
        expect(stream.as_mut().poll(cx).is_ready() == (turns == 2), "it goes on until it is over")?;
        expect(polls.get() == turns + 1, "its turn has come")?;
    }
    expect(cleared_up.get(), "it was cleared up in its last turn")?;
    expect(gate.party.borrow().is_of(&greedy), "the connection is its tenant's")?;
    let another = account("another");
    gate.clone().stream(async { gate.enters(&another).await }).await;
    expect(Rc::ptr_eq(&gate.party.borrow(), &parties.mixed()), "and then nobody's alone")?;
    gate.clone().stream(async { gate.is_lost() }).await;
    expect(Rc::ptr_eq(&gate.party.borrow(), &parties.mixed()), "and stays so")
}

/// Many woken at once are each too short to be noticed.
#[test]
fn what_is_left_of_a_connections_streams_waits_for_turns_once_it_is_over() {
    goes_well_once(|| {
        let (parties, turnstile) = rig();
        let (tenant, polls) = (account("tenant"), Cell::new(0));
        let gate = Rc::new(gate_of(&turnstile, &tenant));
        let cx = &mut Context::from_waker(Waker::noop());
        uses(&parties, &parties.of(&tenant), 0);
        let never = async {
            gate.enters(&tenant).await;
            poll_fn(|_| {
                polls.set(polls.get() + 1);
                Poll::<()>::Pending
            })
            .await;
        };
        let mut stream = pin!(gate.clone().stream(never));
        for _ in 0..2 {
            expect(stream.as_mut().poll(cx).is_pending(), "it never ends")?;
        }
        expect(polls.get() == 2, "it waits for nobody")?;
        gate.ends();
        expect(stream.as_mut().poll(cx).is_pending() && polls.get() == 2, "now it does")?;
        expect(turnstile.next().is_some(), "in line")
    });
}

#[test]
fn what_streams_take_outside_of_turns_counts_for_the_next_one_of_their_connection() {
    goes_well_once(|| {
        let (parties, turnstile) = rig();
        let tenant = account("tenant");
        let gate = Rc::new(gate_of(&turnstile, &tenant));
        let cx = &mut Context::from_waker(Waker::noop());
        uses(&parties, &parties.of(&tenant), 0);
        let mut stream = pin!(gate.clone().stream(async {
            let began = thread_cpu_ns();
            while thread_cpu_ns() - began < SOME_NS {}
        }));
        expect(stream.as_mut().poll(cx).is_ready(), "nobody is greedy")?;
        uses(&parties, &parties.of(&tenant), MUCH_NS);
        for (least_ns, most_ns) in [(SOME_NS, u64::MAX), (0, SOME_NS)] {
            expect(gate.opens(cx).is_none(), "its connection has to wait")?;
            let ticket = turnstile.next().ok_or("in line")?;
            ticket.passes.set(true);
            turnstile.round.begins(0);
            let turn = gate.opens(cx).ok_or("it is its turn")?;
            gate.closes(&turn);
            let took_ns = ticket.over.get().ok_or("it is over")?;
            expect((least_ns..most_ns).contains(&took_ns), "once, what its streams took counts for it")?;
            turnstile.lines.borrow_mut().ends(&Rc::as_ptr(&ticket.party), took_ns);
        }
        Ok(())
    });
}

#[test]
fn a_connection_that_has_more_to_read_goes_on_in_another_round() {
    goes_well_once(|| {
        let (parties, turnstile) = rig();
        let tenant = account("tenant");
        let (gate, cx) = (gate_of(&turnstile, &tenant), &mut Context::from_waker(Waker::noop()));
        uses(&parties, &parties.of(&tenant), 0);
        for all in [false, true] {
            let turn = gate.opens(cx).ok_or("it is not greedy")?;
            let took_ns = gate.closes(&turn);
            gate.has_read(took_ns, all);
        }
        expect(gate.opens(cx).is_none(), "it has to wait")?;
        let ticket = turnstile.next().ok_or("in line")?;
        ticket.passes.set(true);
        expect(gate.opens(cx).is_some(), "and goes on")
    });
}

/// Says when it is dropped.
struct Waste<F: Fn()>(F);

impl<F: Fn()> Drop for Waste<F> {
    fn drop(&mut self) {
        self.0();
    }
}

#[test]
fn who_asks_for_nobodys_functions_does_not_keep_new_connections_waiting() {
    goes_well_once(|| {
        let (parties, turnstile) = rig();
        let (gates, new) = ([(); 3].map(|()| Gate::new(&turnstile)), Gate::new(&turnstile));
        let cx = &mut Context::from_waker(Waker::noop());
        uses(&parties, &parties.lost(), MUCH_NS);
        for gate in &gates {
            gate.is_lost();
            expect(gate.opens(cx).is_none(), "its turn is yet to come")?;
        }
        expect(new.opens(cx).is_none(), "and so is that of a new connection, as others are there")?;
        let first =
            [turnstile.next(), turnstile.next()].map(|ticket| ticket.map(|ticket| ticket.party.clone()));
        let is_new = |party: &Option<Rc<Party>>| party.as_ref().is_some_and(|p| parties.are_strangers(p));
        expect(first.iter().any(is_new), "it waits for one of them at most")?;
        let [gate, ..] = gates;
        let tenant = account("tenant");
        let mut entering = pin!(gate.enters(&tenant));
        expect(entering.as_mut().poll(cx) == Poll::Ready(false), "a tenant is whoever it was")?;
        expect(gate.opens(cx).is_some(), "and goes on")
    });
}

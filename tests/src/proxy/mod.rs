//! A bad way to a server: a TCP proxy that cuts, falls silent, and loses, doubles and reorders what it carries.
//!
//! What goes wrong is drawn from a seed, so that a failing run can be repeated as far as the scheduling allows. On a
//! WebSocket it knows where frames begin and end; everything else is bytes to it.

mod carry;
mod frames;

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use self::carry::Direction;

/// How often a thread that waits looks whether anything was asked of it.
const LOOK: Duration = Duration::from_millis(10);

/// What goes wrong by itself. Chances are in 1,000; nothing goes wrong by default.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    /// A connection is cut after so many bytes of both directions: any number of these bounds, drawn for each connection.
    pub cut_after: Option<(u64, u64)>,
    /// An acknowledgement is lost.
    pub lose_acks: u64,
    /// An event or acknowledgement comes twice.
    pub double: u64,
    /// An event or acknowledgement comes after the one that follows it.
    pub swap: u64,
}

/// What has gone wrong so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wrongs {
    /// Connections carried.
    pub connections: u64,
    /// Connections cut.
    pub cuts: u64,
    /// Acknowledgements lost.
    pub lost: u64,
    /// Frames carried twice.
    pub doubled: u64,
    /// Frames carried late.
    pub swapped: u64,
    /// Bytes carried, both directions together.
    pub bytes: u64,
}

/// The proxy. Ends, with everything it carries, when dropped.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

struct Shared {
    target: SocketAddr,
    faults: Mutex<Faults>,
    wrongs: Mutex<Wrongs>,
    open: Mutex<BTreeMap<u64, [TcpStream; 2]>>,
    holding: AtomicBool,
    /// Connections up to this one are silent for ever.
    forgotten: AtomicU64,
    latest: AtomicU64,
    ended: AtomicBool,
    seed: u64,
}

impl Proxy {
    /// Listens on a port of its own and carries to `target`.
    ///
    /// # Panics
    /// When this machine has no port to give.
    #[must_use]
    pub fn to(target: SocketAddr, seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            target,
            faults: Mutex::default(),
            wrongs: Mutex::default(),
            open: Mutex::default(),
            holding: AtomicBool::new(false),
            forgotten: AtomicU64::new(0),
            latest: AtomicU64::new(0),
            ended: AtomicBool::new(false),
            seed,
        });
        let of_thread = Arc::clone(&shared);
        let accepting = thread::spawn(move || accept(&listener, &of_thread));
        Self { address, shared, accepting: Some(accepting) }
    }

    /// The URL that leads through it.
    #[must_use]
    pub fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What goes wrong from now on, also on connections there are.
    pub fn goes_wrong(&self, faults: Faults) {
        *locked(&self.shared.faults) = faults;
    }

    /// What has gone wrong so far.
    #[must_use]
    pub fn wrongs(&self) -> Wrongs {
        *locked(&self.shared.wrongs)
    }

    /// Cuts every connection now, and says how many there were.
    pub fn cut(&self) -> usize {
        let cut = std::mem::take(&mut *locked(&self.shared.open));
        for connection in cut.values() {
            end(connection);
        }
        locked(&self.shared.wrongs).cuts += cut.len() as u64;
        cut.len()
    }

    /// Falls silent: connections stay open and are taken, and nothing is carried in either direction.
    pub fn hold(&self) {
        self.shared.holding.store(true, Ordering::SeqCst);
    }

    /// Falls silent for ever on the connections that are open now, which stay open; carries new ones. Nobody is told, as
    /// behind a router that lost its state and drops what it does not know.
    pub fn forget(&self) {
        self.shared.forgotten.store(self.shared.latest.load(Ordering::SeqCst), Ordering::SeqCst);
        self.shared.holding.store(false, Ordering::SeqCst);
    }

    /// Carries again. What was open is gone, as behind a router that forgot it.
    pub fn go_on(&self) {
        self.cut();
        self.shared.holding.store(false, Ordering::SeqCst);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        self.cut();
        if let Some(accepting) = self.accepting.take() {
            // A panic in it has failed the test already.
            drop(accepting.join());
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    let mut number = 0;
    while !shared.has_ended() {
        match listener.accept() {
            Ok((near, _)) => {
                number += 1;
                shared.latest.store(number, Ordering::SeqCst);
                connect(near, number, shared);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(LOOK),
            Err(error) => panic!("the proxy's listener: {error}"),
        }
    }
}

/// Begins to carry a connection; a target that is not there ends it, as it would without the proxy.
fn connect(near: TcpStream, number: u64, shared: &Arc<Shared>) {
    let Ok(far) = TcpStream::connect_timeout(&shared.target, Duration::from_secs(5)) else { return };
    for stream in [&near, &far] {
        stream.set_nonblocking(false).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(LOOK)).unwrap();
    }
    locked(&shared.wrongs).connections += 1;
    let mut dice = Dice::new(shared.seed ^ (number << 1));
    let budget = locked(&shared.faults).cut_after.map_or(u64::MAX, |(least, most)| dice.between(least, most));
    let budget = Arc::new(AtomicU64::new(budget));
    let both = [near.try_clone().unwrap(), far.try_clone().unwrap()];
    locked(&shared.open).insert(number, both);
    for (from, to, direction) in [
        (near.try_clone().unwrap(), far.try_clone().unwrap(), Direction::ToServer),
        (far, near, Direction::ToClient),
    ] {
        let (shared, budget) = (Arc::clone(shared), Arc::clone(&budget));
        let dice = Dice::new(shared.seed ^ (number << 1) ^ (direction as u64) ^ 0x5bd1_e995);
        thread::spawn(move || {
            let cut = carry::run(from, to, (number, direction), &shared, &budget, dice);
            shared.over(number, cut);
        });
    }
}

impl Shared {
    fn has_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    fn is_silent(&self, number: u64) -> bool {
        self.holding.load(Ordering::SeqCst) || number <= self.forgotten.load(Ordering::SeqCst)
    }

    fn over(&self, number: u64, cut: bool) {
        if let Some(connection) = locked(&self.open).remove(&number) {
            end(&connection);
            locked(&self.wrongs).cuts += u64::from(cut);
        }
    }
}

fn end(connection: &[TcpStream; 2]) {
    for stream in connection {
        // The other side may have been first.
        drop(stream.shutdown(Shutdown::Both));
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Numbers from a seed (splitmix64).
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.next() % (most - least + 1)
    }

    /// Whether something with this chance in 1,000 happens.
    fn falls(&mut self, chance: u64) -> bool {
        chance > 0 && self.next() % 1_000 < chance
    }
}

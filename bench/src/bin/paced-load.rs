//! Requests at one mean rate to several servers in turn, in short windows: latencies that can be compared.
//!
//! `paced-load RATE WINDOW_MS CONNECTIONS WINDOWS HOST ADDRESS...`
//!
//! Round by round each server has a window, and all windows of a round have the same arrivals (a Poisson process, seeded by
//! the round). A request counts from the moment at which it is due, also when no connection is free or the program itself is
//! late. Prints a line for each window: `round server answered p50_us p99_us late_us stolen`, the last two being how late the
//! program sent at the worst, and whether the host took a core away meanwhile. What is to be done about that is the
//! caller's; a request that fails ends the program.

use std::collections::VecDeque;
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};

type Failed = Box<dyn std::error::Error + Send + Sync>;

/// How long answers may take after the last request of a window.
const PATIENCE: Duration = Duration::from_secs(2);
/// Requests of a window that are not counted: connections and caches warm up after the windows of the others.
const WARM_UP: f64 = 0.1;

struct Connection {
    stream: TcpStream,
    answer: Vec<u8>,
    /// When the request that it carries was due, and whether it counts.
    carries: Option<(Instant, bool)>,
}

impl Connection {
    /// Reads what is there; true when the answer is complete and was 200.
    fn read(&mut self) -> io::Result<bool> {
        let mut piece = [0; 4096];
        loop {
            match self.stream.read(&mut piece) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(got) => self.answer.extend_from_slice(piece.get(..got).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
            if let Some(length) = length(&self.answer)?
                && self.answer.len() >= length
            {
                self.answer.clear();
                return Ok(true);
            }
        }
    }
}

/// Length of an answer by its header, once that is here.
fn length(answer: &[u8]) -> io::Result<Option<usize>> {
    let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let head = String::from_utf8_lossy(answer.get(..end).unwrap_or_default());
    let mut lines = head.split("\r\n");
    let good = lines.next().is_some_and(|line| line.starts_with("HTTP/1.1 200"));
    let body = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    match body {
        Some(body) if good => Ok(Some(end + 4 + body)),
        _ => Err(io::Error::other(head.into_owned())),
    }
}

/// The connections to one server.
struct Server {
    epoll: rustix::fd::OwnedFd,
    request: Vec<u8>,
    connections: Vec<Connection>,
}

#[derive(Default)]
struct Window {
    micros: Vec<u128>,
    late: Duration,
}

impl Server {
    fn new(address: &str, host: &str, count: usize) -> Result<Self, Failed> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut connections = Vec::new();
        for number in 0..count {
            let stream = TcpStream::connect(address)?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            let data = epoll::EventData::new_u64(u64::try_from(number)?);
            epoll::add(&epoll, &stream, data, epoll::EventFlags::IN | epoll::EventFlags::ET)?;
            connections.push(Connection { stream, answer: Vec::new(), carries: None });
        }
        let request =
            format!("GET / HTTP/1.1\r\nHost: {host}\r\nUser-Agent: paced-load\r\n\r\n").into_bytes();
        Ok(Server { epoll, request, connections })
    }

    fn window(&mut self, rate: f64, length: Duration, seed: u64) -> Result<Window, Failed> {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut free: VecDeque<usize> = (0..self.connections.len()).collect();
        let mut waiting: VecDeque<Instant> = VecDeque::new();
        let mut events = Vec::with_capacity(256);
        let mut window = Window::default();
        let begin = Instant::now() + Duration::from_millis(1);
        let (counts_from, end) = (begin + length.mul_f64(WARM_UP), begin + length);
        let mut due = begin;
        loop {
            let now = Instant::now();
            while due <= now && due < end {
                waiting.push_back(due);
                due += Duration::from_secs_f64(-(1.0 - random.f64()).ln() / rate);
            }
            while let Some(number) = free.front().copied()
                && let Some(due) = waiting.pop_front()
            {
                free.pop_front();
                let Some(connection) = self.connections.get_mut(number) else { continue };
                connection.stream.write_all(&self.request)?;
                connection.carries = Some((due, due >= counts_from));
                window.late = window.late.max(due.elapsed());
            }
            let busy = !waiting.is_empty() || free.len() < self.connections.len();
            if due >= end && !busy {
                return Ok(window);
            }
            if now > end + PATIENCE {
                return Err("requests were not answered".into());
            }
            let next = if due < end { due } else { end + PATIENCE };
            let pause = Timespec::try_from(next.saturating_duration_since(Instant::now()))?;
            events.clear();
            epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&pause))?;
            for event in &events {
                let event: epoll::Event = *event;
                let number = usize::try_from(event.data.u64())?;
                let Some(connection) = self.connections.get_mut(number) else { continue };
                if !connection.read()? {
                    continue;
                }
                if let Some((due, true)) = connection.carries.take() {
                    window.micros.push(due.elapsed().as_micros());
                }
                free.push_back(number);
            }
        }
    }
}

/// Time that the host has taken from all cores, in ticks.
fn stolen() -> io::Result<u64> {
    let text = std::fs::read_to_string("/proc/stat")?;
    let field = text.lines().next().and_then(|line| line.split_ascii_whitespace().nth(8));
    Ok(field.and_then(|field| field.parse().ok()).unwrap_or_default())
}

fn percentile(sorted: &[u128], share: f64) -> u128 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index"
    )]
    let at = (sorted.len() as f64 * share) as usize;
    sorted.get(at).or(sorted.last()).copied().unwrap_or_default()
}

fn main() -> Result<(), Failed> {
    // Else the kernel may wake a sleeper 50 us late.
    std::fs::write("/proc/self/timerslack_ns", "1")?;
    let mut words = std::env::args().skip(1);
    let mut word =
        || words.next().ok_or("usage: paced-load RATE WINDOW_MS CONNECTIONS WINDOWS HOST ADDRESS...");
    let rate: f64 = word()?.parse()?;
    let length = Duration::from_millis(word()?.parse()?);
    let (connections, windows): (usize, u64) = (word()?.parse()?, word()?.parse()?);
    let host = word()?;
    let mut servers =
        words.map(|address| Server::new(&address, &host, connections)).collect::<Result<Vec<_>, _>>()?;
    let count = servers.len();
    let mut out = io::stdout().lock();
    for round in 0..windows {
        // Nobody is always first.
        for turn in 0..count {
            let number = (turn + usize::try_from(round)?) % count;
            let Some(server) = servers.get_mut(number) else { continue };
            let before = stolen()?;
            let mut window = server.window(rate, length, round)?;
            let stolen = stolen()? > before;
            window.micros.sort_unstable();
            let (p50, p99) = (percentile(&window.micros, 0.5), percentile(&window.micros, 0.99));
            let (answered, late) = (window.micros.len(), window.late.as_micros());
            writeln!(out, "{round} {number} {answered} {p50} {p99} {late} {}", u8::from(stolen))?;
        }
    }
    Ok(())
}

//! One file from the first of several mirrors that has it right, continued where an earlier attempt stopped.

use super::event::{FetchEvent, OnEvent, tell};
use super::sum::{md5, sha256};
use crate::error::{DataError, one_line};
use crate::idx::sibling;
use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;
use ureq::Agent;

/// No file of any set comes near this; an endless answer is cut off here.
const LONGEST: u64 = 512 << 20;

/// How often one mirror is asked to go on after the connection broke.
const ATTEMPTS: usize = 3;

/// How a file is verified.
#[derive(Debug, Clone, Copy)]
pub(super) enum Check<'a> {
    /// SHA-256 of the decompressed content.
    Sha256(&'a str),
    /// MD5 of the file.
    Md5(&'a str),
    /// Elsewhere.
    None,
}

impl Check<'_> {
    /// Whether the file at `path` is right.
    pub(super) fn verify(self, path: &Path) -> Result<(), DataError> {
        let (kind, wanted, found) = match self {
            Self::None => return Ok(()),
            // A damaged gzip stream has no checksum: its fault stands in its place.
            Self::Sha256(wanted) => {
                ("SHA-256 of the content", wanted, sha256(path).unwrap_or_else(|e| format!("none ({})", one_line(&e))))
            }
            Self::Md5(wanted) => ("MD5", wanted, md5(path).map_err(|e| DataError::io("read", path, &e))?),
        };
        if found == wanted {
            return Ok(());
        }
        Err(DataError::Checksum { path: path.into(), kind, found, wanted: wanted.into() })
    }
}

/// Where a file lies until it is whole and verified.
pub(super) fn part_of(goal: &Path) -> PathBuf {
    sibling(goal, ".part")
}

/// A file to download.
pub(super) struct Job<'a> {
    /// Its name on the mirrors.
    pub file: &'a str,
    /// Where it belongs.
    pub goal: &'a Path,
    /// How it is verified.
    pub check: Check<'a>,
    /// Addresses of the folders that hold it.
    pub mirrors: &'a [String],
}

/// How one request failed.
enum Fault {
    /// This mirror cannot help.
    Mirror(String),
    /// The connection broke on the way; going on may help.
    Broken(String),
    /// The whole download must end.
    End(DataError),
}

/// Downloads, verifies and renames a file.
pub(super) fn run(job: &Job<'_>, on: &mut OnEvent<'_>) -> Result<(), DataError> {
    let agent: Agent = Agent::config_builder()
        .http_status_as_error(false)
        .accept_encoding("identity")
        .user_agent(concat!("qbnn/", env!("CARGO_PKG_VERSION")))
        .timeout_connect(Some(Duration::from_secs(20)))
        .timeout_recv_response(Some(Duration::from_secs(30)))
        .timeout_per_read(Some(Duration::from_secs(30)))
        .build()
        .into();
    let part = part_of(job.goal);
    let (mut tried, mut wrong) = (Vec::new(), None);
    for mirror in job.mirrors {
        let url = format!("{}/{}", mirror.trim_end_matches('/'), job.file);
        let mut attempts = 0;
        loop {
            attempts += 1;
            let before = size_of(&part);
            let reason = match request(&agent, &url, &part, job.file, on) {
                Err(Fault::End(error)) => return Err(error),
                Err(Fault::Mirror(reason)) => reason,
                Err(Fault::Broken(reason)) if attempts < ATTEMPTS => {
                    tell(on, FetchEvent::Failed { file: job.file, url: &url, reason: &reason }, job.file)?;
                    continue;
                }
                Err(Fault::Broken(reason)) => reason,
                Ok(()) => match job.check.verify(&part) {
                    Ok(()) => {
                        std::fs::rename(&part, job.goal).map_err(|e| DataError::io("write", job.goal, &e))?;
                        return tell(on, FetchEvent::Verified { file: job.file }, job.file);
                    }
                    Err(error) => {
                        std::fs::remove_file(&part).map_err(|e| DataError::io("delete", &part, &e))?;
                        let reason = one_line(&error);
                        wrong = Some(error);
                        // The beginning may have been of another origin: once more from the start.
                        if before > 0 && attempts < ATTEMPTS {
                            tell(on, FetchEvent::Failed { file: job.file, url: &url, reason: &reason }, job.file)?;
                            continue;
                        }
                        reason
                    }
                },
            };
            tell(on, FetchEvent::Failed { file: job.file, url: &url, reason: &reason }, job.file)?;
            tried.push(format!("{url}: {reason}"));
            break;
        }
    }
    if let Some(error) = wrong {
        return Err(error);
    }
    let tried = if tried.is_empty() { "no mirror is known".into() } else { tried.join("; ") };
    Err(DataError::Download { file: job.file.into(), tried, path: job.goal.into() })
}

fn size_of(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |m| m.len())
}

/// Asks one address for what is missing of `part`, and appends it.
fn request(agent: &Agent, url: &str, part: &Path, file: &str, on: &mut OnEvent<'_>) -> Result<(), Fault> {
    let ask = |from: u64| {
        let mut request = agent.get(url);
        if from > 0 {
            request = request.header("Range", format!("bytes={from}-"));
        }
        request.call().map_err(|e| Fault::Mirror(one_line(&e)))
    };
    let mut have = size_of(part);
    let mut response = ask(have)?;
    let continues = |response: &ureq::http::Response<ureq::Body>, from: u64| {
        let range = response.headers().get("content-range").and_then(|v| v.to_str().ok());
        range.is_some_and(|r| r.trim().starts_with(&format!("bytes {from}-")))
    };
    // Refused or answered with another part: from the start, without a range.
    let status = response.status().as_u16();
    if have > 0 && (status == 416 || status == 206 && !continues(&response, have)) {
        have = 0;
        response = ask(0)?;
    }
    match response.status().as_u16() {
        // The range was ignored: this is the whole file.
        200 => have = 0,
        206 if have > 0 => {}
        status => return Err(Fault::Mirror(format!("status {status}, wanted 200"))),
    }
    let total = response.body().content_length().map(|rest| have.saturating_add(rest));
    if total.is_some_and(|total| total > LONGEST) {
        return Err(Fault::Mirror(format!("announces more than {LONGEST} bytes")));
    }
    let local = |action, e: &std::io::Error| Fault::End(DataError::io(action, part, e));
    let mut options = OpenOptions::new();
    let options = if have > 0 { options.append(true) } else { options.write(true).create(true).truncate(true) };
    let mut to = options.open(part).map_err(|e| local("write", &e))?;
    tell(on, FetchEvent::Started { file, url, resumed: have }, file).map_err(Fault::End)?;
    let mut body = response.body_mut().with_config().limit(LONGEST).reader();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let n = body.read(&mut buffer).map_err(|e| Fault::Broken(one_line(&e)))?;
        if n == 0 {
            break;
        }
        to.write_all(&buffer[..n]).map_err(|e| local("write", &e))?;
        have += n as u64;
        if have > LONGEST {
            drop(to);
            std::fs::remove_file(part).map_err(|e| local("delete", &e))?;
            return Err(Fault::Mirror(format!("sends more than {LONGEST} bytes")));
        }
        tell(on, FetchEvent::Progress { file, bytes: have, total }, file).map_err(Fault::End)?;
    }
    to.sync_all().map_err(|e| local("write", &e))?;
    match total {
        Some(total) if have < total => Err(Fault::Broken(format!("ended after {have} of {total} bytes"))),
        _ => Ok(()),
    }
}

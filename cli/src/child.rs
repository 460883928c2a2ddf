//! This program, started again: for what has to be measured in a process of its own, or killed.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};

use crate::outcome::{Done, Failure};

/// Starts this program with other arguments; its standard output is piped.
pub(crate) fn start(
    args: impl IntoIterator<Item = impl AsRef<OsStr>>,
    stdin: Stdio,
) -> Done<Child> {
    // A child must not find, and print, what is only buffered here; that this may fail is told by
    // whoever prints next.
    let _ = std::io::stdout().flush();
    std::env::current_exe()
        .and_then(|exe| {
            Command::new(exe)
                .args(args)
                .stdin(stdin)
                .stdout(Stdio::piped())
                .spawn()
        })
        .map_err(Failure::io("starting another process"))
}

/// Kills the child (SIGKILL) once it has printed so many lines, and returns all that it printed;
/// a last line that is not whole does not count.
pub(crate) fn kill_after(mut child: Child, lines: usize) -> Done<Vec<String>> {
    let mut stdout = BufReader::new(child.stdout.take().expect("it is piped"));
    let mut said = String::new();
    let mut count = 0;
    let mut listen = || -> std::io::Result<()> {
        while count < lines && stdout.read_line(&mut said)? > 0 {
            count += 1;
        }
        Ok(())
    };
    let heard = listen();
    let killed = child.kill();
    // What is in the pipe still was printed before.
    let rest = heard.and_then(|()| stdout.read_to_string(&mut said));
    let ended = killed.and_then(|()| child.wait());
    ended.map_err(Failure::io("killing a process"))?;
    rest.map_err(Failure::io("listening to a process"))?;
    if count < lines {
        return Err(Failure::Other(
            "the process that was to be killed ended by itself".into(),
        ));
    }
    said.truncate(said.rfind('\n').map_or(0, |end| end + 1));
    Ok(said.lines().map(str::to_owned).collect())
}

//! Rings in someone's own event loop: the descriptor is readable exactly when it should be.

use std::os::fd::AsFd;
use std::thread;

use ringbolt::ring::{Ready, ReadyFd, RecvError, lossy, spsc};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

const NO_TIME: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 0,
};

fn is_readable(fd: impl AsFd) -> bool {
    poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&NO_TIME)).unwrap() > 0
}

fn sleep<H: Ready>(fds: &[&ReadyFd<H>]) {
    let mut fds: Vec<_> = fds
        .iter()
        .map(|fd| PollFd::new(fd, PollFlags::IN))
        .collect();
    assert!(poll(&mut fds, None).unwrap() > 0);
}

#[test]
fn readable_once_armed_and_something_came_and_not_when_drained_and_armed_again() {
    let (mut sender, receiver) = spsc::ring::<u32>(4).unwrap();
    let mut receiver = ReadyFd::new(receiver).unwrap();
    assert!(!is_readable(&receiver));
    sender.send(1).unwrap();
    assert!(
        !is_readable(&receiver),
        "not armed: nobody made a system call"
    );
    assert!(!receiver.arm().unwrap(), "there is something already");
    assert!(!is_readable(&receiver));
    for round in 0..3 {
        assert!(receiver.try_recv().is_ok());
        assert!(receiver.arm().unwrap());
        assert!(!is_readable(&receiver), "round {round}: drained");
        sender.send(2).unwrap();
        assert!(is_readable(&receiver), "round {round}: armed, and sent");
    }
    // Armed again without having looked: it says so, and is silent.
    assert!(!receiver.arm().unwrap());
    assert!(!is_readable(&receiver));
    assert_eq!(receiver.try_recv(), Ok(2));
    assert!(receiver.arm().unwrap());
    drop(sender);
    assert!(is_readable(&receiver), "the end counts");
    assert!(!receiver.arm().unwrap());
    assert_eq!(receiver.try_recv(), Err(RecvError::Closed));
}

#[test]
fn a_sender_waits_for_room_on_its_descriptor() {
    let (sender, mut receiver) = spsc::ring::<u32>(1).unwrap();
    let mut sender = ReadyFd::new(sender).unwrap();
    assert!(!sender.arm().unwrap(), "there is room");
    sender.try_send(1).unwrap();
    assert!(sender.arm().unwrap());
    assert!(!is_readable(&sender));
    assert_eq!(receiver.try_recv(), Ok(1));
    assert!(is_readable(&sender));
}

#[test]
fn an_event_loop_over_two_rings_gets_everything() {
    const ITEMS: u64 = 20_000;
    let mut senders = Vec::new();
    let mut receivers = Vec::new();
    for _ in 0..2 {
        let (sender, receiver) = spsc::ring::<u64>(16).unwrap();
        senders.push(sender);
        receivers.push(ReadyFd::new(receiver).unwrap());
    }
    thread::scope(|scope| {
        for mut sender in senders {
            scope.spawn(move || (0..ITEMS).for_each(|number| sender.send(number).unwrap()));
        }
        let mut next = [0; 2];
        let mut open = [true; 2];
        while open != [false; 2] {
            let mut may_sleep = true;
            for at in 0..2 {
                let receiver = &mut receivers[at];
                while open[at] {
                    match receiver.try_recv() {
                        Ok(number) => {
                            assert_eq!(number, next[at]);
                            next[at] += 1;
                        }
                        Err(RecvError::Empty) => {
                            may_sleep &= receiver.arm().unwrap();
                            break;
                        }
                        Err(_) => open[at] = false,
                    }
                }
            }
            if may_sleep && open != [false; 2] {
                let open = (0..2).filter(|&at| open[at]).map(|at| &receivers[at]);
                sleep(&open.collect::<Vec<_>>());
            }
        }
        assert_eq!(next, [ITEMS; 2]);
    });
}

#[test]
fn a_lossy_receiver_is_told_on_its_descriptor() {
    let mut sender = lossy::ring::<u64>(4).unwrap();
    let mut receiver = ReadyFd::new(sender.subscribe()).unwrap();
    assert!(receiver.arm().unwrap());
    sender.send_all(0..9).unwrap();
    assert!(is_readable(&receiver));
    assert_eq!(receiver.try_recv(), Err(lossy::RecvError::Missed(5)));
    assert_eq!(receiver.try_iter().count(), 4);
    assert!(receiver.arm().unwrap());
    assert!(!is_readable(&receiver));
}

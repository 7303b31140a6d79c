//! The end of programs whose caller is asked to end: in a process of its own, since it holds from then on.

use std::time::Duration;

use process::{Command, Ending, break_off};

fn sleep() -> Command {
    let mut command = Command::new("/bin/sh");
    command.arguments(["-c", "sleep 60 & wait"]);
    command
}

#[test]
fn those_that_may_be_broken_off_end_now_and_later_and_the_others_go_on() {
    let mut early = sleep();
    early.may_be_broken_off();
    let mut early = early.spawn().unwrap();
    let mut other = sleep().spawn().unwrap();
    break_off();
    assert_eq!(early.wait().unwrap(), Ending::Signalled(9));
    let mut late = sleep();
    late.may_be_broken_off();
    assert_eq!(late.spawn().unwrap().wait().unwrap(), Ending::Signalled(9));
    assert_eq!(other.wait_for(Duration::ZERO).unwrap(), None);
}

//! `make smoke`, `make smoke-list`, `make smoke-one SCENARIO=…`; `smoke keep` makes what all scenarios share, and says
//! where that is.

use std::process::ExitCode;

use smoke::runner::{self, Outcome};
use smoke::{Scenario, all};

const USAGE: &str = "use it like this: smoke list, smoke keep, or smoke run [--fast] [--jobs N] [SCENARIO…]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["list"] => {
            list();
            Ok(true)
        }
        ["keep"] => {
            println!("{}", smoke::keep().display());
            Ok(true)
        }
        ["run", choice @ ..] => run(choice),
        _ => Err(USAGE.to_owned()),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("smoke: {why}");
            ExitCode::from(2)
        }
    }
}

fn list() {
    for scenario in all() {
        let fast = if scenario.fast { "fast" } else { "" };
        println!("{:14} {fast:4}  {}", scenario.name, scenario.shows);
    }
}

fn run(choice: &[&str]) -> Result<bool, String> {
    let mut jobs = std::thread::available_parallelism().map_or(1, usize::from);
    let (mut fast, mut names) = (false, Vec::new());
    let mut words = choice.iter();
    while let Some(word) = words.next() {
        match *word {
            "--fast" => fast = true,
            "--jobs" => {
                let number = words.next().and_then(|word| word.parse().ok());
                jobs = number.ok_or("--jobs needs a number")?;
            }
            name if all().iter().any(|scenario| scenario.name == name) => names.push(name),
            other => {
                return Err(format!(
                    "no scenario is called `{other}`: `make smoke-list` lists them"
                ));
            }
        }
    }
    let chosen = |scenario: &&Scenario| {
        (names.is_empty() || names.contains(&scenario.name)) && (scenario.fast || !fast)
    };
    let outcomes = runner::run(all().iter().filter(chosen).collect(), jobs, |outcome| {
        eprintln!("{} {}", word(outcome), outcome.name);
    });
    for outcome in &outcomes {
        if let Some(why) = &outcome.failure {
            println!("\n{}: {why}", outcome.name);
        }
    }
    println!("\nSCENARIO        RESULT      TIME");
    for outcome in &outcomes {
        println!(
            "{:14}  {}  {:6.1} s",
            outcome.name,
            word(outcome),
            outcome.took.as_secs_f64()
        );
    }
    let failed = outcomes
        .iter()
        .filter(|outcome| outcome.failure.is_some())
        .count();
    println!("{} passed, {failed} failed", outcomes.len() - failed);
    Ok(failed == 0 && !outcomes.is_empty())
}

fn word(outcome: &Outcome) -> &'static str {
    match outcome.failure {
        None => "passed",
        Some(_) => "FAILED",
    }
}

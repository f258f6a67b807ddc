//! The examples in the help of commands.

use clap::Command;

/// Gives `command`, if it has no examples, those examples of the command above it that run it; then
/// does the same for the commands below it. `path` has the names of all commands above `command`,
/// and `above` has the examples of the command right above.
pub(crate) fn pass_down(command: Command, path: &[String], above: &[String]) -> Command {
    let path = [path, &[command.get_name().to_owned()]].concat();
    let mut examples = of(&command);
    let mut command = command;
    if examples.is_empty() {
        examples.extend(above.iter().filter(|example| runs(example, &path)).cloned());
        if !examples.is_empty() {
            let lines = examples.iter().flat_map(|example| example.lines());
            let lines: String = lines.map(|line| format!("  {line}\n")).collect();
            let heading = if examples.len() == 1 { "Example" } else { "Examples" };
            command = command.before_help(format!("{heading}:\n{lines}"));
        }
    }
    command.mut_subcommands(|command| pass_down(command, &path, &examples))
}

/// Whether an example runs the command with these names. Arguments may come between them.
fn runs(example: &str, path: &[String]) -> bool {
    let mut words = example.split_whitespace().take_while(|word| *word != "#");
    path.iter().all(|name| words.any(|word| word == name))
}

/// Returns the examples in a command's help. An example may have several lines.
pub(crate) fn of(command: &Command) -> Vec<String> {
    let help = command.get_before_help().map(ToString::to_string).unwrap_or_default();
    let mut examples: Vec<String> = Vec::new();
    // The first line is a heading.
    for line in help.lines().skip(1).filter_map(|line| line.strip_prefix("  ")) {
        match examples.last_mut() {
            Some(example) if line.starts_with(' ') => *example += &format!("\n{line}"),
            _ => examples.push(line.to_owned()),
        }
    }
    examples
}

//! Commands -> the steps a container will take, decided ahead because nothing in the simulation can change on the way.

use std::time::Duration;

use super::View;
use super::parse::{Command, Joint, Part, Target, Word, parse};

/// One thing that happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Bytes on standard output.
    Stdout(Vec<u8>),
    /// Bytes on standard error.
    Stderr(Vec<u8>),
    /// Nothing, for that long.
    Sleep(Duration),
    /// Standard input is copied to standard output until it ends.
    CopyStdin,
}

/// How a program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// With this exit status (0-255).
    Exit(i32),
    /// Not by itself.
    Never,
}

/// What a program does, from start to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// In order.
    pub steps: Vec<Step>,
    /// After the last step.
    pub end: End,
}

impl Plan {
    /// How long the steps take together; standard input of a main program is always at its end.
    pub fn duration(&self) -> Duration {
        self.steps
            .iter()
            .map(|step| {
                if let Step::Sleep(time) = step {
                    *time
                } else {
                    Duration::ZERO
                }
            })
            .sum()
    }
}

/// What a command outside the known set means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unknown {
    /// A main program we cannot interpret is a server: it runs until it is stopped.
    RunsForEver,
    /// An init container that never ended would block its pod: it has done its work.
    Succeeds,
    /// In a terminal the name is not found.
    NotFound,
}

const SHELLS: &[&str] = &["sh", "bash", "ash", "dash"];

/// Plans `argv` (a program and its arguments) in a container that looks like `view`.
pub fn plan(argv: &[String], view: &View, unknown: Unknown) -> Plan {
    let mut planner = Planner {
        view,
        unknown,
        steps: Vec::new(),
        status: 0,
    };
    let end = planner
        .program(argv, Target::Stdout)
        .unwrap_or(End::Exit(planner.status));
    Plan {
        steps: planner.steps,
        end,
    }
}

struct Planner<'a> {
    view: &'a View,
    unknown: Unknown,
    steps: Vec<Step>,
    status: i32,
}

impl Planner<'_> {
    /// Runs a program; `Some` when everything is over after it (`exit`, or a program that never ends).
    fn program(&mut self, argv: &[String], target: Target) -> Option<End> {
        let (name, arguments) = argv.split_first().map(|(first, rest)| (base_name(first), rest))?;
        if SHELLS.contains(&name) {
            return self.shell(name, arguments);
        }
        self.builtin(name, arguments, target)
    }

    fn shell(&mut self, name: &str, arguments: &[String]) -> Option<End> {
        let script = match arguments {
            [flag, script, ..] if flag.starts_with('-') && flag.ends_with('c') => script,
            // Without a script a shell reads its input, which is empty or a terminal nobody types into.
            _ => {
                self.status = 0;
                return (self.unknown == Unknown::RunsForEver && arguments.is_empty()).then_some(End::Exit(0));
            }
        };
        let commands = match parse(script) {
            Ok(commands) => commands,
            Err(error) => {
                return self.not_understood(
                    format!("{name}: syntax error: {:?} is not supported here\n", error.0),
                    2,
                );
            }
        };
        let mut inner = Planner {
            view: self.view,
            unknown: self.unknown,
            steps: Vec::new(),
            status: 0,
        };
        let end = commands.iter().find_map(|command| inner.command(command));
        self.steps.append(&mut inner.steps);
        self.status = inner.status;
        match end {
            // `exit` ends this shell only.
            Some(End::Exit(status)) => {
                self.status = status;
                None
            }
            other => other,
        }
    }

    fn command(&mut self, command: &Command) -> Option<End> {
        let wanted = match command.joint {
            Joint::Always => true,
            Joint::And => self.status == 0,
            Joint::Or => self.status != 0,
        };
        if !wanted {
            return None;
        }
        let argv: Vec<String> = command.words.iter().filter_map(|word| self.expand(word)).collect();
        match argv.first().map(String::as_str) {
            None => None,
            Some("exit") => Some(End::Exit(match argv.get(1) {
                None => self.status,
                Some(code) => code.parse::<i32>().map_or(2, |code| code & 0xff),
            })),
            Some("exec") => {
                let end = self.program(&argv[1..], command.target);
                Some(end.unwrap_or(End::Exit(self.status)))
            }
            Some(_) => self.program(&argv, command.target),
        }
    }

    fn expand(&self, word: &Word) -> Option<String> {
        let text: String = word
            .parts
            .iter()
            .map(|part| match part {
                Part::Text(text) => text.clone(),
                Part::Variable(name) if name == "?" => self.status.to_string(),
                Part::Variable(name) => self.variable(name).unwrap_or_default().to_string(),
            })
            .collect();
        (word.quoted || !text.is_empty()).then_some(text)
    }

    fn variable(&self, name: &str) -> Option<&str> {
        self.view
            .env
            .iter()
            .rev()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    fn builtin(&mut self, name: &str, arguments: &[String], target: Target) -> Option<End> {
        self.status = 0;
        match name {
            "true" | ":" => {}
            "false" => self.status = 1,
            "echo" => self.echo(arguments, target),
            "cat" => self.cat(arguments, target),
            "env" | "printenv" => self.env(arguments, target),
            "hostname" => self.print(format!("{}\n", self.view.hostname), target),
            "pwd" => self.print(format!("{}\n", self.view.working_dir), target),
            "ls" => self.list(arguments, target),
            "id" => {
                let (user, group) = self.view.user;
                self.print(format!("uid={user} gid={group} groups={group}\n"), target);
            }
            "sleep" => return self.sleep(arguments),
            other => return self.not_understood(format!("sh: {other}: not found\n"), 127),
        }
        None
    }

    fn not_understood(&mut self, message: String, status: i32) -> Option<End> {
        match self.unknown {
            Unknown::RunsForEver => return Some(End::Never),
            Unknown::Succeeds => self.status = 0,
            Unknown::NotFound => {
                self.steps.push(Step::Stderr(message.into_bytes()));
                self.status = status;
            }
        }
        None
    }

    fn print(&mut self, bytes: impl Into<Vec<u8>>, target: Target) {
        match target {
            Target::Stdout => self.steps.push(Step::Stdout(bytes.into())),
            Target::Stderr => self.steps.push(Step::Stderr(bytes.into())),
            Target::Nowhere => {}
        }
    }

    fn complain(&mut self, message: String) {
        self.steps.push(Step::Stderr(message.into_bytes()));
        self.status = 1;
    }

    fn echo(&mut self, arguments: &[String], target: Target) {
        let (words, end) = match arguments.split_first() {
            Some((flag, rest)) if flag == "-n" => (rest, ""),
            _ => (arguments, "\n"),
        };
        self.print(format!("{}{end}", words.join(" ")), target);
    }

    fn cat(&mut self, arguments: &[String], target: Target) {
        if arguments.is_empty() || arguments == ["-"] {
            self.steps.push(Step::CopyStdin);
        }
        for path in arguments.iter().filter(|path| *path != "-") {
            match self.view.files.get(&self.absolute(path)) {
                Some(content) => self.print(content.clone(), target),
                None => self.complain(format!("cat: can't open '{path}': No such file or directory\n")),
            }
        }
    }

    fn env(&mut self, arguments: &[String], target: Target) {
        match arguments.first().map(|name| self.variable(name).map(str::to_string)) {
            Some(Some(value)) => self.print(format!("{value}\n"), target),
            Some(None) => self.status = 1,
            None => {
                let lines: String = self
                    .view
                    .env
                    .iter()
                    .map(|(name, value)| format!("{name}={value}\n"))
                    .collect();
                self.print(lines, target);
            }
        }
    }

    fn list(&mut self, arguments: &[String], target: Target) {
        let path = arguments
            .iter()
            .find(|argument| !argument.starts_with('-'))
            .map_or(".", String::as_str);
        let folder = self.absolute(path);
        if self.view.files.contains_key(&folder) {
            return self.print(format!("{path}\n"), target);
        }
        let prefix = format!("{}/", folder.trim_end_matches('/'));
        let below = self.view.files.keys().filter_map(|file| file.strip_prefix(&prefix));
        let mut names: Vec<&str> = below.filter_map(|rest| rest.split('/').next()).collect();
        names.dedup();
        if names.is_empty() && folder != "/" {
            return self.complain(format!("ls: {path}: No such file or directory\n"));
        }
        let lines: String = names.iter().map(|name| format!("{name}\n")).collect();
        self.print(lines, target);
    }

    fn sleep(&mut self, arguments: &[String]) -> Option<End> {
        if arguments.iter().any(|argument| argument == "infinity") {
            return Some(End::Never);
        }
        match arguments
            .iter()
            .map(|argument| duration(argument))
            .sum::<Option<Duration>>()
        {
            Some(time) if !arguments.is_empty() => self.steps.push(Step::Sleep(time)),
            _ => self.complain(format!("sleep: invalid number '{}'\n", arguments.join(" "))),
        }
        None
    }

    fn absolute(&self, path: &str) -> String {
        let joined = if path.starts_with('/') {
            path.to_string()
        } else {
            format!("{}/{path}", self.view.working_dir)
        };
        let mut parts = Vec::new();
        for part in joined.split('/') {
            match part {
                "" | "." => {}
                ".." => {
                    parts.pop();
                }
                part => parts.push(part),
            }
        }
        format!("/{}", parts.join("/"))
    }
}

fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// A number with an optional unit (`s`, `m`, `h`, `d`); capped at a year so that sums cannot overflow.
fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = match text.char_indices().last()? {
        (at, 's') => (&text[..at], 1.0),
        (at, 'm') => (&text[..at], 60.0),
        (at, 'h') => (&text[..at], 3600.0),
        (at, 'd') => (&text[..at], 86_400.0),
        _ => (text, 1.0),
    };
    let seconds = number.parse::<f64>().ok()? * unit;
    Duration::try_from_secs_f64(seconds.min(31_536_000.0)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view() -> View {
        View {
            hostname: "web-0".to_string(),
            env: vec![("GREETING".to_string(), "hi there".to_string())],
            files: [
                ("/etc/config/a".to_string(), b"A\n".to_vec()),
                ("/etc/hostname".to_string(), b"web-0\n".to_vec()),
            ]
            .into(),
            user: (0, 0),
            working_dir: "/".to_string(),
        }
    }

    fn execute(script: &str) -> (String, String, End) {
        let argv = ["sh", "-c", script].map(str::to_string);
        let plan = plan(&argv, &view(), Unknown::NotFound);
        let (mut out, mut err) = (Vec::new(), Vec::new());
        for step in plan.steps {
            match step {
                Step::Stdout(bytes) => out.extend(bytes),
                Step::Stderr(bytes) => err.extend(bytes),
                Step::Sleep(_) | Step::CopyStdin => {}
            }
        }
        (
            String::from_utf8(out).unwrap(),
            String::from_utf8(err).unwrap(),
            plan.end,
        )
    }

    #[test]
    fn scripts() {
        let table: &[(&str, &str, i32)] = &[
            ("echo $GREETING", "hi there\n", 0),
            ("echo -n a; echo b", "ab\n", 0),
            ("false || echo no && echo yes", "no\nyes\n", 0),
            ("false && echo no; echo $?", "1\n", 0),
            ("exit 7; echo never", "", 7),
            ("sh -c 'exit 3'; echo $?", "3\n", 0),
            ("cat /etc/config/a ../etc/hostname", "A\nweb-0\n", 0),
            ("ls /etc", "config\nhostname\n", 0),
            ("hostname; pwd; id", "web-0\n/\nuid=0 gid=0 groups=0\n", 0),
            ("env", "GREETING=hi there\n", 0),
            ("printenv GREETING", "hi there\n", 0),
            ("printenv NONE", "", 1),
            ("exec false", "", 1),
        ];
        for (script, stdout, status) in table {
            assert_eq!(
                execute(script),
                (stdout.to_string(), String::new(), End::Exit(*status)),
                "{script}"
            );
        }
    }

    #[test]
    fn failures_say_why() {
        let table: &[(&str, &str, i32)] = &[
            ("curl x", "sh: curl: not found\n", 127),
            ("cat /none", "cat: can't open '/none': No such file or directory\n", 1),
            ("ls none", "ls: none: No such file or directory\n", 1),
            ("echo oops >&2", "oops\n", 0),
            ("sleep x", "sleep: invalid number 'x'\n", 1),
        ];
        for (script, stderr, status) in table {
            assert_eq!(
                execute(script),
                (String::new(), stderr.to_string(), End::Exit(*status)),
                "{script}"
            );
        }
    }

    #[test]
    fn unknown_programs_follow_their_rule() {
        let nginx = ["nginx".to_string()];
        assert_eq!(plan(&nginx, &view(), Unknown::RunsForEver).end, End::Never);
        assert_eq!(plan(&nginx, &view(), Unknown::Succeeds).end, End::Exit(0));
        assert_eq!(plan(&nginx, &view(), Unknown::NotFound).end, End::Exit(127));
        let looped = ["sh", "-c", "echo up; while true; do sleep 1; done"].map(str::to_string);
        let plan = plan(&looped, &view(), Unknown::RunsForEver);
        assert_eq!((plan.steps.len(), plan.end), (1, End::Never));
    }

    #[test]
    fn sleeping_adds_up() {
        let argv = ["sh", "-c", "sleep 1.5 && sleep 1m"].map(str::to_string);
        assert_eq!(
            plan(&argv, &view(), Unknown::RunsForEver).duration(),
            Duration::from_millis(61_500)
        );
        assert_eq!(
            plan(&["sleep".into(), "infinity".into()], &view(), Unknown::NotFound).end,
            End::Never
        );
    }
}

//! Service files of the daemon: a systemd user unit or a launchd agent.

use std::ffi::OsString;
use std::path::Path;

use super::sheet::xml;

/// The systemd unit that runs a program with its arguments; see systemd.service(5).
pub(super) fn systemd_unit(command: &[OsString]) -> String {
    let command: Vec<String> = command.iter().map(|word| systemd_word(&word.to_string_lossy())).collect();
    format!(
        "# Written by `imgidx daemon install`; `imgidx daemon uninstall` removes it.\n\
         [Unit]\n\
         Description=imgidx daemon, which keeps the index of pictures up to date\n\
         Documentation=man:imgidx(1)\n\
         \n\
         [Service]\n\
         Type=notify\n\
         ExecStart={}\n\
         ExecReload=/bin/kill -HUP $MAINPID\n\
         Restart=on-failure\n\
         RestartSec=10\n\
         WatchdogSec=600\n\
         TimeoutStartSec=infinity\n\
         TimeoutStopSec=30\n\
         Slice=background.slice\n\
         CPUWeight=20\n\
         IOWeight=20\n\
         NoNewPrivileges=yes\n\
         \n\
         [Install]\n\
         WantedBy=default.target\n",
        command.join(" ")
    )
}

/// The launchd property list of a service, its program with the arguments, and its log file; see launchd.plist(5).
pub(super) fn launchd_plist(name: &str, command: &[OsString], log: &Path) -> String {
    let word = |word: &OsString| format!("    <string>{}</string>\n", xml(&word.to_string_lossy()));
    let words: String = command.iter().map(word).collect();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n\
         <plist version=\"1.0\">\n\
         <dict>\n  \
           <key>Label</key>\n  <string>{}</string>\n  \
           <key>ProgramArguments</key>\n  <array>\n{words}  </array>\n  \
           <key>RunAtLoad</key>\n  <true/>\n  \
           <key>KeepAlive</key>\n  <dict>\n    <key>SuccessfulExit</key>\n    <false/>\n  </dict>\n  \
           <key>ProcessType</key>\n  <string>Background</string>\n  \
           <key>LowPriorityIO</key>\n  <true/>\n  \
           <key>StandardErrorPath</key>\n  <string>{}</string>\n\
         </dict>\n\
         </plist>\n",
        xml(name),
        xml(&log.to_string_lossy())
    )
}

/// The name of the service for a database: `imgidx` for the default one, `usual`, and another for each other database.
pub(super) fn service_name(database: &Path, usual: Option<&Path>) -> String {
    if usual == Some(database) {
        return "imgidx".into();
    }
    let stem = database.file_stem().unwrap_or_default().to_string_lossy();
    let plain: String = stem.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(32).collect();
    let digest = imgidx::types::ContentHash::of(database.as_os_str().as_encoded_bytes()).to_string();
    format!("imgidx-{plain}-{}", &digest[..8])
}

/// Quotes a word of a command line for systemd.
fn systemd_word(word: &str) -> String {
    let mut quoted = String::from("\"");
    for c in word.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            // They would start a specifier or a variable.
            '%' | '$' => quoted.extend([c, c]),
            '\n' => quoted.push_str("\\n"),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command() -> [OsString; 4] {
        ["/opt/my tools/imgidx", "--db", "/100% \"mine\" & $yours.db", "watch"].map(OsString::from)
    }

    #[test]
    fn special_characters_of_systemd_are_quoted() {
        let unit = systemd_unit(&command());
        let expected =
            r#"ExecStart="/opt/my tools/imgidx" "--db" "/100%% \"mine\" & $$yours.db" "watch""#.to_owned() + "\n";
        assert!(unit.contains(&expected), "{unit}");
    }

    #[test]
    fn special_characters_of_xml_are_escaped() {
        let plist = launchd_plist("imgidx", &command(), Path::new("/home/me/Library/Logs/imgidx.log"));
        assert!(plist.contains("<string>/100% &quot;mine&quot; &amp; $yours.db</string>"), "{plist}");
    }

    #[test]
    fn each_database_has_a_service_of_its_own() {
        let usual = Path::new("/home/me/imgidx.db");
        assert_eq!(service_name(usual, Some(usual)), "imgidx");
        let other = service_name(Path::new("/mnt/a b/fotos é.db"), Some(usual));
        assert!(other.starts_with("imgidx-fotos---") && other.is_ascii(), "{other}");
        assert_ne!(other, service_name(Path::new("/mnt/c/fotos é.db"), Some(usual)));
    }
}

import ArgumentParser
import Store

/// Whether what a subcommand says is for people or for programs.
struct OutputOptions: ParsableArguments {
    @Flag(name: .long, help: "Print JSON.")
    var json = false
}

/// Of the subcommands that may fetch for long.
struct ProgressOptions: ParsableArguments {
    @Flag(name: .shortAndLong, help: "Show no progress.")
    var quiet = false

    var bars: ProgressBars? { quiet ? nil : ProgressBars(interactive: Terminal.isInteractive) }
}

/// Of the subcommands that throw away.
struct KeepOptions: ParsableArguments {
    @Option(name: .long, help: ArgumentHelp("Keep what was used within this time.", valueName: "duration"))
    var keepDuration: String?

    var duration: Duration? {
        get throws { try keepDuration.map { try Settings.value(of: "--keep-duration", $0, use: "a duration such as 48h", Quantity.duration) } }
    }
}

/// Of the subcommands that throw away: how they say what they do.
struct PruneOptions: ParsableArguments {
    @Flag(name: .shortAndLong, help: "Say what would go, and leave it.")
    var dryRun = false

    @Flag(name: .shortAndLong, help: "Name every file.")
    var verbose = false

    var freed: String { dryRun ? "would be freed" : "freed" }
}

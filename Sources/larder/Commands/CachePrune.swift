import ArgumentParser
import Caches
import LinuxIO
import Store

struct CachePrune: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "prune", abstract: "Throw away what was not used for long.",
        discussion: """
            Without options each cache's own policy is applied (max-size and max-idle of `larder cache set`), file by file.
            With sizes, files and whole caches go, those unused longest first, until the chosen caches take no more. A cache
            that somebody uses is never touched, nor is a pinned one: both are named.

            FILTERS are those of buildctl: FIELD, FIELD==VALUE, FIELD!=VALUE, FIELD~=REGEX; commas mean and, several --filter
            mean or. FIELD is one of id, preset, sharing, shared, locked, private, inuse, unclean, pinned, addonly; and
            until=48h is what was unused for so long.
            """
    )

    @Argument(help: ArgumentHelp("Only these caches.", valueName: "name"), completion: CacheCompletion.name)
    var names: [String] = []

    @Option(name: .shortAndLong, help: ArgumentHelp("Only caches that pass. May be repeated.", valueName: "filter"))
    var filter: [String] = []

    @Flag(name: .long, help: "Remove the chosen caches as a whole.")
    var all = false

    @Option(name: .long, help: ArgumentHelp("The most that the chosen caches may take together.", valueName: "size"))
    var maxSize: String?

    @Option(name: .long, help: ArgumentHelp("What shall be free on the store's disk.", valueName: "size"))
    var minFree: String?

    @OptionGroup var keep: KeepOptions
    @OptionGroup var options: PruneOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var store: StoreOptions

    func run() throws {
        let filters = try filter.map { try CacheFilter($0) }
        let keep = try keep.duration
        let limit = try maxSize.map { try Settings.value(of: "--max-size", $0, use: "a size such as 10g", Quantity.bytes) }
        let free = try minFree.map { try Settings.value(of: "--min-free", $0, use: "a size such as 10g", Quantity.bytes) }
        let library = try Settings(store: store).openCaches(command: "larder cache prune")
        let chosen = try (names.isEmpty ? library.names() : names.map { try library.name($0) }).filter { name in
            guard !filters.isEmpty else { return true }
            let subject = try CacheFilter.Subject(name, library)
            return filters.contains { $0.accepts(subject) }
        }
        let run = PruneRun(library: library, keep: keep, dryRun: options.dryRun)
        let reports: [PruneReport]
        if all {
            reports = try run.whole(chosen)
        } else if limit != nil || free != nil {
            reports = try run.down(chosen, to: limit, free: free)
        } else {
            reports = try run.files(chosen)
        }
        if output.json { return try Terminal.json(reports.map { PruneDocument($0, options.dryRun) }) }
        print(reports)
    }

    private func print(_ reports: [PruneReport]) {
        for report in reports {
            switch report.skipped {
            case .pinned: Terminal.output("\(report.cache): pinned, left alone")
            case .inUse(let holders): Terminal.output("\(report.cache): in use, left alone\(holders.first.map { " (\($0.summary))" } ?? "")")
            case nil:
                if options.verbose { for file in report.removed { Terminal.output("  \(String(decoding: file.path, as: UTF8.self))") } }
                let what = report.isWhole ? "all of it" : UInt64(report.removed.count).filesText
                Terminal.output("\(report.cache): \(what), \(report.freedBytes.bytesText) \(options.freed), \(report.keptBytes.bytesText) kept")
            }
        }
        Terminal.output("\(reports.reduce(0) { $0 + $1.freedBytes }.bytesText) \(options.freed)")
    }
}

private struct PruneDocument: Encodable {
    struct File: Encodable {
        let path: String
        let instance: Int
        let allocatedBytes: UInt64
        let lastUse: Moment
    }

    let id: String
    let dryRun: Bool
    /// "pinned" or "inUse".
    let skipped: String?
    let holders: [LeaseRecord]
    let whole: Bool
    let files: [File]
    let freedBytes: UInt64
    let keptBytes: UInt64

    init(_ report: PruneReport, _ dryRun: Bool) {
        id = report.cache.text
        self.dryRun = dryRun
        switch report.skipped {
        case nil: (skipped, holders) = (nil, [])
        case .pinned: (skipped, holders) = ("pinned", [])
        case .inUse(let users): (skipped, holders) = ("inUse", users)
        }
        whole = report.isWhole
        files = report.removed.map { File(path: String(decoding: $0.path, as: UTF8.self), instance: $0.instance, allocatedBytes: $0.allocatedBytes, lastUse: $0.lastUse) }
        freedBytes = report.freedBytes
        keptBytes = report.keptBytes
    }
}

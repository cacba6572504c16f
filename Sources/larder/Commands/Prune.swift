import ArgumentParser
import Caches
import OCI
import Store

struct Prune: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Remove what no image needs, or what was not used for long.",
        discussion: """
            Without options goes what no known image needs; then, where limits are configured or given, what was unused longest until
            they are met. With --all or --filter goes all that they choose. Images stay known, and what they need is fetched again
            when it is read. What is open, pinned (larder image pin) or being worked at is never removed. Caches are not
            touched: see `larder cache prune`.

            FILTERS are those of buildctl: FIELD, FIELD==VALUE, FIELD!=VALUE, FIELD~=REGEX; commas mean and, several --filter mean
            or. FIELD is one of id, type (blob, content, index, garbage), image, description, shared, private, complete,
            sealed, immutable; and until=48h is what was unused for so long.
            """
    )

    @Option(name: .shortAndLong, help: ArgumentHelp("Only what passes. May be repeated.", valueName: "filter"))
    var filter: [String] = []

    @Flag(name: .shortAndLong, help: "Also what known images need, and indexes.")
    var all = false

    @OptionGroup var keep: KeepOptions

    @Option(
        name: [.long, .customLong("keep-storage"), .customLong("max-size")],
        help: ArgumentHelp("The most that the store may take, such as 20g or 50% of its disk.", valueName: "size"))
    var maxUsedSpace: String?

    @Option(name: [.long, .customLong("min-free")], help: ArgumentHelp("What shall be free on the store's disk.", valueName: "size"))
    var minFreeSpace: String?

    @Option(name: .long, help: ArgumentHelp("As much is kept even when less than that is free.", valueName: "size"))
    var reservedSpace: String?

    @OptionGroup var options: PruneOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var store: StoreOptions

    func run() throws {
        let settings = try Settings(store: store)
        var request = PruneRequest()
        request.filters = try filter.map { try FilterExpression($0, fields: PruneRequest.fields) }
        request.all = all
        if let keep = try keep.duration { request.keep = keep }
        let given = StoreLimits(
            maxSize: try LimitOptions.amount(maxUsedSpace, "--max-used-space"), minFree: try LimitOptions.amount(minFreeSpace, "--min-free-space"),
            reserved: try LimitOptions.amount(reservedSpace, "--reserved-space"))
        // What is configured is for whoever chooses nothing himself.
        request.limits = given.isEmpty && !all && filter.isEmpty ? settings.limits : given
        if request.limits.reserved == nil { request.limits.reserved = given.reserved }
        let report = try settings.openStore(create: false).prune(request, dryRun: options.dryRun)
        let groups = PrunedGroup.groups(of: report)
        if output.json { return try Terminal.json(Document(dryRun: options.dryRun, removed: groups, report, files: options.verbose)) }
        let now = Moment.now
        if !groups.isEmpty {
            Terminal.list(
                ["WHAT", "OF", "FILES", "SIZE", "LAST USE", "WHY", "IMAGES"],
                groups.map { group in
                    [
                        group.type, group.id, "\(group.files)", group.bytes.bytesText,
                        group.lastUse == 0 ? "-" : Moment(milliseconds: group.lastUse * 1000).duration(until: now).roughText,
                        group.reason, group.images.isEmpty ? "-" : group.images.joined(separator: ", "),
                    ]
                })
        }
        if options.verbose { for file in report.evicted { Terminal.output("  \(file.path)") } }
        if report.openFiles > 0 { Terminal.output("\(UInt64(report.openFiles).filesText) (\(report.openBytes.bytesText)) left alone: open") }
        if report.missingBytes > 0 { Terminal.output("\(report.missingBytes.bytesText) above the limits: what is left is open, pinned, being worked at, or small") }
        let kept = report.before.all - min(report.before.all, report.freedBytes)
        Terminal.output("\(report.freedBytes.bytesText) \(options.freed), \(kept.bytesText) kept")
    }

    private struct Document: Encodable {
        let dryRun: Bool
        let removed: [PrunedGroup]
        let freedBytes: UInt64
        let keptBytes: UInt64
        /// Above the limits, and nothing left that may go.
        let missingBytes: UInt64
        let openBytes: UInt64
        let files: [String]?

        init(dryRun: Bool, removed: [PrunedGroup], _ report: EvictionReport, files: Bool) {
            self.dryRun = dryRun
            self.removed = removed
            freedBytes = report.freedBytes
            keptBytes = report.before.all - min(report.before.all, report.freedBytes)
            missingBytes = report.missingBytes
            openBytes = report.openBytes
            self.files = files ? report.evicted.map(\.path) : nil
        }
    }
}

/// Files that went together: of one kind, one layer, for one reason.
private struct PrunedGroup: Encodable {
    let type: String
    /// The layer's digest, or a path below the store.
    let id: String
    let reason: String
    let images: [String]
    var files = 0
    var bytes: UInt64 = 0
    /// Of the file that was used last, in seconds since 1970.
    var lastUse: Int64 = 0

    static func groups(of report: EvictionReport) -> [PrunedGroup] {
        var groups: [PrunedGroup] = []
        var places: [String: Int] = [:]
        for file in report.evicted {
            let id = file.layer.map { "\($0)" } ?? (file.kind == .garbage ? String(file.path.prefix { $0 != "/" }) : file.path)
            let name = "\(file.kind.rawValue) \(id) \(file.reason)"
            let place = places[name] ?? groups.count
            if place == groups.count {
                places[name] = place
                groups.append(PrunedGroup(type: file.kind.rawValue, id: id, reason: "\(file.reason)", images: report.imageNames(file)))
            }
            groups[place].files += 1
            groups[place].bytes += file.allocatedBytes
            groups[place].lastUse = max(groups[place].lastUse, file.lastUse / 1_000_000_000)
        }
        return groups
    }
}

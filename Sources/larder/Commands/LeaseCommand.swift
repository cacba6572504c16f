import ArgumentParser
import Caches
import Store

struct LeaseCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "lease", abstract: "Show who holds which cache, and end a holder.",
        subcommands: [LeaseList.self, LeaseShow.self, LeaseBreak.self], defaultSubcommand: LeaseList.self
    )
}

struct LeaseList: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "ls", abstract: "List what is held right now.")

    @Argument(help: ArgumentHelp("Only this cache.", valueName: "cache"), completion: CacheCompletion.name)
    var cache: String?

    @OptionGroup var output: OutputOptions
    @OptionGroup var store: StoreOptions

    func run() throws {
        let library = try Settings(store: store).openCaches(command: "larder lease ls")
        let leases = try cache.map { text in
            let name = try library.name(text)
            // Nobody holds what is not there, but a wrong name should be said.
            _ = try library.definition(of: name)
            return try library.leases(on: name)
        } ?? library.leases()
        if output.json { return try Terminal.json(leases) }
        Terminal.list(
            ["TOKEN", "CACHE", "SHARING", "INSTANCE", "SINCE", "HOLDER"],
            leases.map { lease in
                [
                    lease.token, lease.cache.text, lease.sharing.rawValue + (lease.readOnly ? ",ro" : ""), lease.instanceText, lease.since.localText,
                    "\(lease.command) (process \(lease.pid) of uid \(lease.uid) on \(lease.host))",
                ]
            })
    }
}

struct LeaseShow: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "show", abstract: "Show one lease.")

    @Argument(help: ArgumentHelp("Its token, or the beginning of it.", valueName: "token"), completion: CacheCompletion.lease)
    var token: String

    @OptionGroup var output: OutputOptions
    @OptionGroup var store: StoreOptions

    func run() throws {
        let library = try Settings(store: store).openCaches(command: "larder lease show")
        let lease = try library.lease(token)
        if output.json { return try Terminal.json(lease) }
        Terminal.table([
            ["token", lease.token], ["cache", lease.cache.text], ["sharing", lease.sharing.rawValue + (lease.readOnly ? ", read-only" : "")],
            ["instance", lease.instanceText], ["directory", library.path(of: lease)], ["since", lease.since.description], ["epoch", "\(lease.epoch)"],
            ["command", lease.command], ["process", "\(lease.pid)"], ["uid", "\(lease.uid)"], ["host", lease.host],
        ])
    }
}

struct LeaseBreak: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "break", abstract: "End a lease by ending its holder.",
        discussion: """
            The kernel takes no lock from a living process, and letting others in beside one that goes on writing would be no
            lease at all. So a lease ends when its holder does: with --force the holder gets SIGTERM, and SIGKILL after a
            grace time. What a killed holder had is marked unclean and checked by whoever comes next. Without --force only
            what a dead holder has left is cleared away.
            """
    )

    @Argument(help: ArgumentHelp("Its token, or the beginning of it.", valueName: "token"), completion: CacheCompletion.lease)
    var token: String

    @Flag(name: .long, help: "End the holder's process.")
    var force = false

    @Option(name: .long, help: ArgumentHelp("Time for the holder to end by itself.", valueName: "duration"))
    var grace = "10s"

    @OptionGroup var output: OutputOptions
    @OptionGroup var store: StoreOptions

    private struct Document: Encodable {
        let token: String
        let outcome: String
    }

    func run() throws {
        let grace = try Settings.value(of: "--grace", grace, use: "a duration such as 10s", Quantity.duration)
        let library = try Settings(store: store).openCaches(command: "larder lease break")
        let full = (try? library.lease(token).token) ?? token
        switch try library.breakLease(full, force: force, grace: grace) {
        case .wasDead: try report(full, "cleared", "its holder was dead already; the record is cleared away")
        case .ended: try report(full, "ended", "its holder has ended")
        case .stillHeld(let lease) where force: throw Failure(.inUse, "lease \(lease.token) on cache '\(lease.cache)' is still held by \(lease.summary)")
        case .stillHeld(let lease): throw Failure(.inUse, "cache '\(lease.cache)' is held by \(lease.summary); --force ends that process")
        case .elsewhere(let lease):
            throw Failure(.inUse, "cache '\(lease.cache)' is held by \(lease.summary), which cannot be seen from here: end it on \(lease.host), or in its container")
        }
    }

    private func report(_ token: String, _ outcome: String, _ text: String) throws {
        if output.json { try Terminal.json(Document(token: token, outcome: outcome)) } else { Terminal.output("lease \(token): \(text)") }
    }
}

extension LeaseRecord {
    fileprivate var instanceText: String { instance.map { $0 == 0 ? "main" : "\($0)" } ?? "fresh" }
}

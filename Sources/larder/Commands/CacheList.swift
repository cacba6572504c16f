import ArgumentParser
import Caches

struct CacheList: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "ls", abstract: "List caches, who uses them, and when they were last used.")

    @Flag(name: .shortAndLong, help: "Add their sizes, which takes a walk through all files.")
    var size = false

    @OptionGroup var output: OutputOptions
    @OptionGroup var store: StoreOptions

    func run() throws {
        let library = try Settings(store: store).openCaches(command: "larder cache ls")
        var documents: [CacheDocument] = []
        for name in try library.names() {
            do throws(CacheError) {
                documents.append(try CacheDocument(name, library, sizes: size))
            } catch {
                // Removed while we looked; a damaged one is said and the others are listed.
                if case .missing = error { continue }
                Terminal.error("larder: \(error)")
            }
        }
        if output.json { return try Terminal.json(documents) }
        let now = Moment.now
        Terminal.list(
            ["NAME", "SHARING", "INSTANCES", "IN USE", "LAST USE", "PRESET"] + (size ? ["SIZE"] : []),
            documents.map { cache in
                [
                    cache.id, cache.sharing.rawValue, "\(cache.instances.count)", cache.holders.isEmpty ? "-" : "\(cache.holders.count)",
                    cache.lastUse.map { $0.duration(until: now).roughText } ?? "-", cache.preset ?? "-",
                ] + (cache.size.map { [$0.allocatedBytes.bytesText] } ?? [])
            })
    }
}

struct CacheInspect: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "inspect", abstract: "Show all about one cache: policy, instances, holders, sizes.")

    @Argument(help: ArgumentHelp("Its name.", valueName: "name"), completion: CacheCompletion.name)
    var name: String

    @OptionGroup var output: OutputOptions
    @OptionGroup var store: StoreOptions

    func run() throws {
        let library = try Settings(store: store).openCaches(command: "larder cache inspect")
        let cache = try CacheDocument(try library.name(name), library, sizes: true)
        if output.json { return try Terminal.json(cache) }
        Terminal.output("\(cache.id)\n  mounted as  caches/\(cache.encoded)\n  directory   \(cache.instances.first?.path ?? "-")\n  created     \(cache.created.localText)\n  preset      \(cache.preset ?? "none")\n  policy      \(cache.policy)\n")
        Terminal.list(
            ["INSTANCE", "SIZE", "CONTENT", "FILES", "LAST USE", "STATE"],
            cache.instances.map { instance in
                [
                    instance.number == 0 ? "main" : "\(instance.number)", instance.size?.allocatedBytes.bytesText ?? "-", instance.size?.apparentBytes.bytesText ?? "-",
                    instance.size.map { "\($0.files)" } ?? "-", instance.lastUse?.localText ?? "-",
                    instance.unclean.map { "unclean: \($0.holder.summary) ended in the middle" } ?? "clean",
                ]
            })
        for holder in cache.holders { Terminal.output("held \(holder.sharing.rawValue)\(holder.readOnly ? ", read-only" : "") by \(holder.summary)") }
    }
}

struct CacheRemove: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rm", abstract: "Remove caches with all that is in them.", discussion: "A cache that somebody uses is not removed (exit code 75)."
    )

    @Argument(help: ArgumentHelp("Names.", valueName: "name"), completion: CacheCompletion.name)
    var names: [String]

    @OptionGroup var output: OutputOptions
    @OptionGroup var store: StoreOptions

    private struct Removed: Encodable {
        let id: String
        let freedBytes: UInt64
    }

    func run() throws {
        let library = try Settings(store: store).openCaches(command: "larder cache rm")
        var removed: [Removed] = []
        defer { if output.json { try? Terminal.json(removed) } }
        for text in names {
            let name = try library.name(text)
            let size = try library.size(of: name).allocatedBytes
            try library.remove(name)
            removed.append(Removed(id: name.text, freedBytes: size))
            if !output.json { Terminal.output("\(name): removed, \(size.bytesText) freed") }
        }
    }
}

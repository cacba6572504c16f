import ArgumentParser
import Caches

struct CacheUsage: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "du", abstract: "Say how much of the disk caches take, instance by instance.",
        discussion: "SIZE is what is allocated on the disk, CONTENT the length of the files. A file with several names counts once."
    )

    @Argument(help: ArgumentHelp("Names; all caches where none is given.", valueName: "name"), completion: CacheCompletion.name)
    var names: [String] = []

    @OptionGroup var output: OutputOptions
    @OptionGroup var store: StoreOptions

    func run() throws {
        let library = try Settings(store: store).openCaches(command: "larder cache du")
        let chosen = try names.isEmpty ? library.names() : names.map { try library.name($0) }
        let documents = try chosen.map { try CacheDocument($0, library, sizes: true) }
        if output.json { return try Terminal.json(documents) }
        var rows: [[String]] = []
        for cache in documents {
            for instance in cache.instances {
                guard let size = instance.size else { continue }
                let label = instance.number == 0 ? cache.id : "\(cache.id) (instance \(instance.number))"
                rows.append([label, size.allocatedBytes.bytesText, size.apparentBytes.bytesText, "\(size.files)", "\(size.directories)"])
            }
        }
        let sizes = documents.compactMap(\.size)
        func sum(_ field: KeyPath<CacheDocument.Size, UInt64>) -> UInt64 { sizes.reduce(0) { $0 + $1[keyPath: field] } }
        rows.append(["total", sum(\.allocatedBytes).bytesText, sum(\.apparentBytes).bytesText, "\(sum(\.files))", "\(sum(\.directories))"])
        Terminal.list(["CACHE", "SIZE", "CONTENT", "FILES", "DIRECTORIES"], rows)
    }
}

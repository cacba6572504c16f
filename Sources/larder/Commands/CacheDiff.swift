import ArgumentParser
import Caches
import LinuxIO

struct CacheDiff: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "diff", abstract: "Show how two caches, or a cache and a directory, differ.",
        discussion: """
            A line for each difference: A added in the second, D only in the first, C changed and how. Files of the same size
            are told apart by their times, or with --content by what is in them.
            """
    )

    @Argument(help: "A cache, CACHE:PATH or a directory.")
    var first: String

    @Argument(help: "A cache, CACHE:PATH or a directory.")
    var second: String

    @Flag(name: .long, help: "Compare content in place of times.")
    var content = false

    @Flag(name: .long, help: "Exit with 1 where there is a difference.")
    var exitCode = false

    @OptionGroup var output: OutputOptions
    @OptionGroup var lock: LockOptions
    @OptionGroup var store: StoreOptions

    private struct Document: Encodable {
        let path: String
        let kind: String
        let aspects: [String]
        let directory: Bool
    }

    func run() async throws {
        let library = try Settings(store: store).openCaches(command: "larder cache diff")
        let sides = try [first, second].map { try CachePlaceArgument($0, in: library, bare: true) }
        let names: [CacheName] = sides.compactMap { if case .cache(let name, _) = $0 { name } else { nil } }
        let leases = try await library.acquireAloud(names.map { LeaseRequest($0, readOnly: true) }, timeout: lock.limit())
        defer { try? leases.release() }
        func directory(_ side: CachePlaceArgument) throws -> Directory {
            switch side {
            case .host(let path): return try Directory(path)
            case .cache(let name, let path):
                guard let root = leases[name]?.directory else { throw CacheError.missing(name) }
                return path.isEmpty ? root : try root.directory(path)
            }
        }
        var documents: [Document] = []
        var isDifferent = false
        let printsJSON = output.json
        try TreeDifference.find(from: directory(sides[0]), to: directory(sides[1]), depth: content ? .content : .times) { change in
            isDifferent = true
            let document = Self.document(change)
            if printsJSON {
                documents.append(document)
            } else {
                let aspects = document.aspects.isEmpty ? "" : "  (\(document.aspects.joined(separator: ", ")))"
                Terminal.output("\(document.kind.prefix(1).uppercased() == "R" ? "D" : document.kind.prefix(1).uppercased()) \(document.path)\(document.directory ? "/" : "")\(aspects)")
            }
        }
        if output.json { try Terminal.json(documents) }
        if exitCode && isDifferent { throw ExitCode(1) }
    }

    private static func document(_ change: TreeChange) -> Document {
        let (kind, aspects): (String, [String]) =
            switch change.kind {
            case .added: ("added", [])
            case .removed: ("removed", [])
            case .changed(let aspects): ("changed", aspects.sorted().map(\.rawValue))
            }
        return Document(path: String(decoding: change.path, as: UTF8.self), kind: kind, aspects: aspects, directory: change.isDirectory)
    }
}

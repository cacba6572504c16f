import ArgumentParser
import FuseBridge

struct Unmount: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "umount", abstract: "Take a mount off.",
        discussion: """
            Returns when the daemon behind it has ended its work, or the lease of a cache:ID is given back. `umount DIR` and
            `fusermount3 -u DIR` do the same. --lazy of a cache:ID that is still in use ends its lease all the same.
            """
    )

    @Argument(help: ArgumentHelp("Where it is mounted.", valueName: "dir"), completion: .directory)
    var directory: String

    @Flag(name: .shortAndLong, help: "Take it off the tree now, and end it when nothing uses it any more.")
    var lazy = false

    @OptionGroup var output: OutputOptions
    @OptionGroup var store: StoreOptions

    private struct Document: Encodable {
        var mountPoint: String
        var lazy: Bool
    }

    func run() throws {
        let settings = try Settings(store: store)
        let path = LarderMount.resolve(directory)
        if let mount = try CacheMount(at: path) {
            try mount.unmount(lazily: lazy, in: try? settings.openCaches(command: "larder umount"))
            if output.json { try Terminal.json(Document(mountPoint: path, lazy: lazy)) }
            return
        }
        guard try LarderMount.all().contains(where: { $0.path == path }) else {
            throw Failure(.notFound, "\(directory): no Larder mount")
        }
        try LarderMount.unmount(directory, lazily: lazy)
        if output.json { try Terminal.json(Document(mountPoint: path, lazy: lazy)) }
    }
}

import ArgumentParser
import FuseBridge

struct Unmount: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "umount", abstract: "Take a mount off.",
        discussion: "Returns when the daemon behind it has ended its work. `umount DIR` and `fusermount3 -u DIR` do the same."
    )

    @Argument(help: ArgumentHelp("Where it is mounted.", valueName: "dir"), completion: .directory)
    var directory: String

    @Flag(name: .shortAndLong, help: "Take it off the tree now, and end it when nothing uses it any more.")
    var lazy = false

    func run() throws {
        guard try LarderMount.all().contains(where: { $0.path == LarderMount.resolve(directory) }) else {
            throw Failure(.notFound, "\(directory): no Larder mount")
        }
        try LarderMount.unmount(directory, lazily: lazy)
    }
}

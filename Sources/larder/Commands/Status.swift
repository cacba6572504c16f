import ArgumentParser
import FoundationEssentials
import Glibc
import OCI
import Store

/// A mount and what its daemon says.
struct StatusMount: Encodable {
    var mountPoint: String
    /// nil for a mount of one tree alone, and for one whose daemon has died.
    var daemon: DaemonReport.Document?
    var answers: Bool
}

struct Status: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show the running mounts and what the store holds.",
        discussion: """
            Reads `status.json` at each mount point: what it prints can be read there as well.

            --watch shows it again and again until Ctrl-C: layer by layer how it is packed, where its index is from, how much is here, what
            was fetched and how fast, and how many readers wait. Where the output is no terminal, each look is a few lines of name=value.
            """
    )

    @OptionGroup var output: OutputOptions

    @Flag(name: .shortAndLong, help: "Show it again and again, until Ctrl-C.")
    var watch = false

    @Option(name: .long, help: ArgumentHelp("Between two looks of --watch, such as 500ms or 5s. Default: 1s on a terminal, else 5s.", valueName: "time"))
    var interval: String?

    @OptionGroup var store: StoreOptions

    func validate() throws {
        if watch && output.json { throw ValidationError("--watch draws for people; read status.json at the mount point again and again for JSON") }
        if interval != nil && !watch { throw ValidationError("--interval is for --watch") }
    }

    private struct Document: Encodable {
        struct Part: Encodable {
            var count: Int
            var bytes: UInt64
        }

        struct StoreDocument: Encodable {
            var path: String
            var freeBytes: UInt64
            var blobs: Part
            var indexes: Part
            var spans: Part
            var files: Part
        }

        var mounts: [StatusMount]
        var store: StoreDocument?
    }

    func run() async throws {
        if watch { try watchMounts() }
        let settings = try Settings(store: store)
        var document = Document(mounts: try LarderMount.all().map(Self.look), store: nil)
        do {
            let store = try settings.openStore(create: false)
            let usage = try store.usage()
            func part(_ part: StoreUsage.Part) -> Document.Part { .init(count: part.count, bytes: part.allocatedBytes) }
            document.store = .init(
                path: settings.storePath, freeBytes: store.freeSpace, blobs: part(usage.blobs), indexes: part(usage.trees), spans: part(usage.spans),
                files: part(usage.objects)
            )
        } catch StoreError.missing {}
        if output.json { return try Terminal.json(document) }
        print(document, settings.storePath)
    }

    private func watchMounts() throws -> Never {
        var duration = Duration.seconds(isatty(STDOUT_FILENO) == 1 ? 1 : 5)
        if let interval {
            duration = try Settings.value(of: "--interval", interval, use: "a time from 50ms to 1h, such as 2s") { text in
                Quantity.duration(text).flatMap { $0 >= .milliseconds(50) && $0 <= .seconds(3600) ? $0 : nil }
            }
        }
        try StatusWatch(interval: duration) { try LarderMount.all().map(Self.look) }.run()
    }

    private static func look(_ mount: LarderMount) -> StatusMount {
        let data = FileManager.default.contents(atPath: mount.path + "/status.json")
        return StatusMount(
            mountPoint: mount.path, daemon: data.flatMap { try? JSONText.decode(DaemonReport.Document.self, from: Array($0)) },
            answers: FileManager.default.fileExists(atPath: mount.path)
        )
    }

    private func print(_ document: Document, _ path: String) {
        if document.mounts.isEmpty { Terminal.output("nothing is mounted; try: larder mount /larder") }
        for mount in document.mounts {
            guard let daemon = mount.daemon else {
                Terminal.output("\(mount.mountPoint)  \(mount.answers ? "one tree alone" : "its daemon has died; larder mount takes the mount point over")")
                continue
            }
            Terminal.output("\(mount.mountPoint)  pid \(daemon.pid), up \(daemon.uptimeSeconds) s, \(daemon.residentBytes.bytesText) resident, store \(daemon.store)")
            Terminal.output("  kernel: requests \(daemon.ioUring == true ? "through io_uring" : "from the device"), \(daemon.passthrough == true ? "with" : "no") passthrough")
            Terminal.output("  network: \(daemon.network.requests) requests, \(daemon.network.bytesReceived.bytesText) received, \(daemon.network.retries) repeated, \(daemon.network.failures) failed")
            for image in daemon.images {
                Terminal.output("  \(image.reference)  \(image.digest.short)  \(image.size.bytesText)\(image.complete == true ? "  all here" : "")")
            }
        }
        guard let store = document.store else { return Terminal.output("store \(path): none yet") }
        Terminal.output("store \(store.path)  \(store.freeBytes.bytesText) free on its disk")
        Terminal.table([
            ["  blobs", "\(store.blobs.count)", store.blobs.bytes.bytesText],
            ["  indexes", "\(store.indexes.count)", store.indexes.bytes.bytesText],
            ["  spans", "\(store.spans.count)", store.spans.bytes.bytesText],
            ["  large files", "\(store.files.count)", store.files.bytes.bytesText],
        ])
    }
}

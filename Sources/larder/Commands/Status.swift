import ArgumentParser
import FoundationEssentials
import OCI
import Store

struct Status: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show the running mounts and what the store holds.",
        discussion: "Reads `status.json` at each mount point: what it prints can be read there as well."
    )

    @Flag(name: .long, help: "Print JSON.")
    var json = false

    @OptionGroup var store: StoreOptions

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

        var mounts: [Mount]
        var store: StoreDocument?
    }

    private struct Mount: Encodable {
        var mountPoint: String
        /// nil for a mount of one tree alone, and for one whose daemon has died.
        var daemon: DaemonReport.Document?
        var answers: Bool
    }

    func run() async throws {
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
        if json { return try Terminal.json(document) }
        print(document, settings.storePath)
    }

    private static func look(_ mount: LarderMount) -> Mount {
        let data = FileManager.default.contents(atPath: mount.path + "/status.json")
        return Mount(
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
            Terminal.output("  network: \(daemon.network.requests) requests, \(daemon.network.bytesReceived.bytesText) received, \(daemon.network.retries) repeated, \(daemon.network.failures) failed")
            for image in daemon.images {
                Terminal.output("  \(image.reference)  \(image.digest.short)  \(image.size.bytesText)\(image.complete ? "  all here" : "")")
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

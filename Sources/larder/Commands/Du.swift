import ArgumentParser
import Caches
import Store

struct Du: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Say how much of the disk images take, layer by layer.",
        discussion: """
            LOGICAL is the length of all files, STORED what is on the disk now, SHARED what several images need of that, and
            EXCLUSIVE what would go with the image alone. Caches are not counted: see `larder cache du`.
            """
    )

    @Argument(help: ArgumentHelp("Images; all that are known where none is given.", valueName: "ref"))
    var references: [String] = []

    @Flag(name: .shortAndLong, help: "Show the layers of each image.")
    var verbose = false

    @OptionGroup var output: OutputOptions
    @OptionGroup var store: StoreOptions

    func run() throws {
        let settings = try Settings(store: store)
        let references = try references.map { try settings.reference($0) }
        let store = try settings.openStore(create: false)
        for reference in references where try store.storedImage(reference) == nil {
            throw Failure(.notFound, "\(reference): the store does not know it; see larder image ls")
        }
        let report = try store.report(on: references.isEmpty ? nil : references)
        if output.json { return try Terminal.json(report) }
        let now = Moment.now
        var rows: [[String]] = []
        for image in report.images {
            rows.append(row(image.pinned ? "\(image.reference) (pinned)" : image.reference, image.logical, image.sizes, image.lastUse, "", now))
            if verbose { for layer in image.layers { rows.append(row(layer, now)) } }
        }
        for layer in report.unneeded { rows.append(row(layer, now, of: "no image needs it")) }
        Terminal.list(["IMAGE", "LOGICAL", "STORED", "SHARED", "EXCLUSIVE", "LAST USE", "STATE"], rows)
        let totals = report.totals
        Terminal.output("")
        Terminal.list(["", "SIZE"], [
            ["blobs", totals.blobs.bytesText], ["content", totals.content.bytesText], ["indexes", totals.indexes.bytesText],
            ["garbage", totals.garbage.bytesText], ["total", totals.all.bytesText], ["free", report.free.bytesText],
        ])
    }

    private func row(_ layer: StoreReport.Layer, _ now: Moment, of note: String? = nil) -> [String] {
        let state = [note, layer.complete ? "complete" : nil, layer.sealed ? "sealed" : nil, layer.leased ? "in work" : nil].compactMap { $0 }
        return row(note == nil ? "  \(layer.digest.short)" : layer.digest.short, layer.logical, layer.sizes, layer.lastUse, state.joined(separator: ", "), now)
    }

    private func row(_ name: String, _ logical: UInt64?, _ sizes: StoreReport.Sizes, _ lastUse: Int64?, _ state: String, _ now: Moment) -> [String] {
        [
            name, logical?.bytesText ?? "?", sizes.stored.bytesText, sizes.shared.bytesText, sizes.exclusive.bytesText,
            lastUse.map { Moment(milliseconds: $0 * 1000).duration(until: now).roughText } ?? "-", state.isEmpty ? "-" : state,
        ]
    }
}

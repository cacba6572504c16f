import ArgumentParser
import Images
import OCI

struct Pull: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Fetch images whole, so that they can be read without a network for ever after.",
        discussion: """
            Asks the registry what the tag means now, fetches all layers in parallel, unpacks them and proves every digest.
            A mount that uses the same store shows the result at once.
            """
    )

    @Argument(help: ArgumentHelp("Images, such as debian:12 or registry.example:5000/team/app:1.", valueName: "ref"))
    var references: [String]

    @Flag(name: .shortAndLong, help: "Show no progress.")
    var quiet = false

    @Flag(name: .long, help: "Print the status of each image as JSON.")
    var json = false

    @OptionGroup var limits: LimitOptions
    @OptionGroup var remote: RemoteOptions
    @OptionGroup var store: StoreOptions

    func run() async throws {
        var settings = try Settings(store: store, remote: remote)
        // Progress says what a person wants to know; the log keeps to what is wrong.
        if store.logLevel == nil { settings.logLevel = .warning }
        settings.limits = try limits.over(settings.limits)
        let references = try references.map { try settings.reference($0) }
        let bars = quiet ? nil : ProgressBars(interactive: Terminal.isInteractive)
        try await settings.withLibrary(create: true, observer: { bars?.show($0) }) { library in
            var statuses: [ImageStatus] = []
            for reference in references {
                if !quiet { Terminal.error("\(reference)") }
                let image = try await library.pull(reference)
                statuses.append(library.status(of: image))
                if !json { Terminal.output("\(reference) \(image.manifestDescriptor.digest)") }
            }
            // What was pulled is above the limits at worst until now.
            try library.store.enforceLimits()
            if json { try Terminal.json(statuses) }
        }
    }
}

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

    @OptionGroup var progress: ProgressOptions

    @Flag(name: .long, help: "Print the status of each image as JSON.")
    var json = false

    @OptionGroup var limits: LimitOptions
    @OptionGroup var images: ImageOptions

    func run() async throws {
        var settings = try images.quietSettings()
        settings.limits = try limits.over(settings.limits)
        let references = try references.map { try settings.reference($0) }
        let bars = progress.bars
        try await settings.withLibrary(create: true, observer: { bars?.show($0) }) { library in
            try await Terminal.each(references, asJSON: json) { reference in
                if !progress.quiet { Terminal.error("\(reference)") }
                let image = try await library.pull(reference)
                return (library.status(of: image), "\(reference) \(image.manifestDescriptor.digest)")
            }
            // What was pulled is above the limits at worst until now.
            try library.store.enforceLimits()
        }
    }
}

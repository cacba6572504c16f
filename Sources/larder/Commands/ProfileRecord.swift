import ArgumentParser
import Caches
import Glibc
import Images
import OCI
import Run

/// `larder profile record`: a run in the image's root whose tree is mounted for it alone, by a daemon that listens.
struct ProfileRecord: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "record",
        abstract: "Run a command in an image and record what it reads.",
        discussion: """
              larder profile record docker.io/library/python:3.12 -- python3 -c 'import numpy'

            The command runs in the image's root as in `larder run --root images/REF`; what it changes goes away. When it has
            succeeded, what it read becomes the image's profile in place of the one before. To record something longer, mount the image
            with `larder mount --tree images/REF --record-profile FILE DIR`, and then `larder profile import REF FILE`.

            The exit code is the command's; 125 if it was not run, or nothing could be recorded.
            """
    )

    @Argument(help: ArgumentHelp("The image.", valueName: "ref"))
    var reference: String

    @Option(name: .long, help: ArgumentHelp("A mount, as `larder run` has it; may be repeated.", valueName: "type=…,target=…"))
    var mount: [String] = []

    @Option(name: .long, help: ArgumentHelp("Where the command starts. Default: the image's own.", valueName: "dir"))
    var workdir: String?

    @Option(name: .long, help: ArgumentHelp("A variable: NAME=VALUE, or NAME for the value it has here; may be repeated.", valueName: "name=value"))
    var env: [String] = []

    @Flag(name: .long, help: "Keep what was recorded also when the command fails.")
    var always = false

    @Flag(name: .long, help: "Print JSON on standard error when it is done, after what the command says.")
    var json = false

    @OptionGroup var images: ImageOptions

    @Argument(parsing: .postTerminator, help: ArgumentHelp("The command and its arguments, behind --.", valueName: "command"))
    var command: [String] = []

    func validate() throws {
        if command.isEmpty { throw ValidationError("no command: put it behind --, as in `larder profile record \(reference) -- true`") }
    }

    func run() async throws {
        let settings = try images.settings()
        let image = try settings.reference(reference)
        await ForegroundRun.end { run in
            let file = try TemporaryPlace.file("larder-profile")
            defer { unlink(file) }
            let caches = CacheLibrary(try settings.openStore(create: true), command: "larder profile record")
            let outcome = try await run(RunSession(
                try request(image), caches: caches,
                openImage: { name in
                    try await ImageForRun(settings: settings, options: images, recording: name == "\(image)" ? file : nil).open(name)
                }, say: { Terminal.error("larder: \($0)") }))
            try await keep(file, image, outcome, settings)
            return outcome
        }
    }

    private func keep(_ file: String, _ reference: Reference, _ outcome: Outcome, _ settings: Settings) async throws {
        guard case .exited(0) = outcome else {
            guard always else { return Terminal.error("larder: the command did not succeed; the profile is as it was (--always keeps what was recorded)") }
            return try await take(file, reference, settings)
        }
        try await take(file, reference, settings)
    }

    private func take(_ file: String, _ reference: Reference, _ settings: Settings) async throws {
        try await settings.withLibrary(create: true) { library in
            let image = try await library.image(reference)
            let bytes = try ProfileFile.read(file)
            guard !bytes.isEmpty else { throw Failure(.failed, "nothing was recorded: the mount of \(reference) ended early") }
            try library.setProfile(bytes, for: image)
            guard let report = try library.profileReport(of: image) else { throw Failure(.failed, "the profile of \(reference) cannot be read back") }
            if json { return Terminal.error(try Terminal.text(of: report)) }
            let spans = report.layers.compactMap(\.spans).reduce(0, +)
            let source = report.layers.compactMap(\.sourceBytes).reduce(0, +)
            Terminal.error("larder: recorded \(report.files) files, \(report.shareText), in \(fixed(report.seconds, 1)) s: \(spans) spans, \(source.bytesText) to fetch")
        }
    }

    private func request(_ image: Reference) throws -> RunRequest {
        var request = try RunRequest(here: command)
        request.mounts = mount
        request.workingDirectory = workdir
        request.variables = env
        request.root = "images/\(image)"
        return request
    }
}

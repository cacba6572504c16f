import ArgumentParser
import Caches

struct CachePresets: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "presets", abstract: "Show what Larder knows about tools: directories, sharing and why, variables, checks."
    )

    @Argument(help: ArgumentHelp("Only this one, with the reasons.", valueName: "preset"), completion: CacheCompletion.preset)
    var name: String?

    @OptionGroup var output: OutputOptions

    func run() throws {
        guard let name else {
            if output.json { return try Terminal.json(Preset.all) }
            return Terminal.list(
                ["PRESET", "CACHE", "SHARING", "MERGED", "DEFAULT DIRECTORY"],
                Preset.all.flatMap { preset in
                    preset.caches.map { [preset.name, $0.id, $0.sharing.rawValue, $0.isAddOnly ? "yes" : "no", $0.target] }
                })
        }
        let preset = try Self.named(name)
        if output.json { return try Terminal.json(preset) }
        Terminal.output("\(preset.name): \(preset.summary)")
        for cache in preset.caches {
            Terminal.output("\n  cache \(cache.id) at \(cache.target)")
            Terminal.output("    \(cache.sharing.rawValue): \(cache.sharingReason)")
            Terminal.output("    private users' additions \(cache.isAddOnly ? "are brought into the main instance" : "stay in their own instance")")
            Terminal.output("    after a crash: \(cache.check.map { "\($0.arguments.joined(separator: " ")) \($0.effect)" } ?? "no check")")
        }
        Terminal.output("")
        for variable in preset.variables { Terminal.output("  \(variable.name)=\(variable.value)\(variable.rule.note)") }
        for file in preset.files { Terminal.output("  \(file.variable)=… a file:\n" + file.lines.map { "      " + $0 }.joined(separator: "\n")) }
        for mask in preset.masks { Terminal.output("  empty for the command: \(mask)") }
        for note in preset.notes { Terminal.output("  \(note)") }
    }

    static func named(_ text: String) throws -> Preset {
        guard let preset = Preset.named(text) else {
            throw Failure(.usage, "there is no preset '\(text)'; there are \(Preset.all.map(\.name).joined(separator: ", "))")
        }
        return preset
    }
}

extension Preset.Variable.Rule {
    fileprivate var note: String {
        switch self {
        case .set: ""
        case .setIfUnset: "  (where you have not set it)"
        case .append: "  (behind what you have set)"
        }
    }
}

import FuseBridge
import Images
import OCI
import Remote
import Store

extension Failure {
    /// The exit code for an error of the layers below.
    static func code(of error: any Error) -> Code {
        switch error {
        case let error as RemoteError:
            switch error.kind {
            case .notFound: .notFound
            case .configuration: .usage
            default: .network
            }
        case is DeadlineExceeded: .network
        case ImageError.unknownReference, ImageError.unknownLayer, ImageError.unknownBlob, ImageError.noPlatform: .notFound
        case StoreError.missing: .notFound
        default: .failed
        }
    }
}

#!/bin/sh
# The sweeps of examples/results/, whose README says what each took: `sh examples/evidence.sh DIR [NAME ...]`
#
# Stop it when you like: the same line goes on, and finished runs are left alone.  NAME: only these sweeps, of those
# below.  Then `python examples/report.py DIR/NAME` prints the tables.  Minutes to hours each on two cores
# of an AMD EPYC; a Dask cluster takes them with SWEEP="--scheduler tcp://..." in the environment.
set -eu
[ $# -gt 0 ] || { echo "usage: sh examples/evidence.sh DIR [NAME ...]" >&2; exit 2; }
dir=$1
shift
here=$(dirname "$0")
only=" $* "

six="hopper half_cheetah walker2d ant cheetah_run pendulum"
offline="--mode offline --n_train 100000"
five="--random_seeds 0 1 2 3 4"
both="--env hopper half_cheetah --random_seeds 0 1 2"
noise="--noise pure eps1 eps3 gaussian1 gaussian3 random"
fitted="--models $dir/offline"  # the same bytes, without fitting the same models again

# shellcheck disable=SC2086
sweeps() {
    sweep offline $offline --env $six $five
    sweep fifth --mode offline --n_train 20000 --env hopper half_cheetah cheetah_run pendulum $five
    sweep fifth_walker2d --mode offline --n_train 20000 --env walker2d --iterations 16 $five
    sweep million --mode offline --n_train 1000000 --env half_cheetah $five --model_hidden "384 384 384" \
        --model_batch 256 --model_epochs 12 --model_lr 3e-3 --model_noise 0.5 --clip_margin 0.15 --std 0.2 --learn_std \
        --target_kl 1e-2 --target_kl_end 0.1 --iterations 40
    sweep without_clone $offline --env $six $five --bc_init no $fitted
    sweep without_clone_wider --mode offline --n_train 100000 --env half_cheetah cheetah_run hopper walker2d \
        --random_seeds 0 1 2 --bc_init no --target_kl 5e-2 $fitted
    for twice in hopper:10 walker2d:16 ant:24 half_cheetah:28 cheetah_run:24 pendulum:10; do  # twice the preset's
        env=${twice%:*}
        longer="--mode offline --env $env --iterations ${twice#*:} $fitted"
        sweep "twice_$env" $longer $five
        case $env in hopper | half_cheetah)
            sweep "without_residuals_twice_$env" $longer --random_seeds 0 1 2 --model_noise 0 ;;
        esac
    done
    # no models of another run: they have other bytes with these kernels
    (export OPENBLAS_CORETYPE=Haswell && sweep walker2d_avx2 $offline --env walker2d $five)
    sweep strategies $offline $both $noise
    sweep trust_region $offline $both $fitted --target_kl 5e-4 5e-2  # about a tenth, and ten times as much
    sweep without_residuals $offline $both $fitted --model_noise 0
    sweep without_residuals_trust_region $offline $both $fitted --model_noise 0 --target_kl 5e-4 5e-2
    sweep penalty $offline $both $fitted --alpha 0.1 1
    sweep members $offline $both --members 1 2
    sweep members_without_residuals $offline $both --members 1 2 --model_noise 0
    sweep horizon $offline $both $fitted --horizon 50 1000
    for env in hopper half_cheetah; do  # the same mean action with less and more noise
        files=$(with_std "$env" 0.1 0.2 0.3 0.5)  # a line of its own: set -e sees when a file could not be made
        sweep "sigma_$env" --mode offline --env "$env" --random_seeds 0 1 2 --data $files
    done
    sweep recursive --mode recursive --env hopper half_cheetah walker2d pendulum --random_seeds 0 1 2
    sweep recursive_without_clone --mode recursive --env hopper half_cheetah walker2d pendulum --random_seeds 0 1 2 \
        --bc_init no
    sweep online --mode online --env hopper half_cheetah walker2d pendulum --random_seeds 0 1 2
}

sweep() { echo "$1"; }
with_std() { :; }
known=" $(sweeps | tr '\n' ' ')"
for name in $only; do
    case "$known" in *" $name "*) ;; *) echo "evidence.sh: no sweep is called $name; there are:$known" >&2; exit 2 ;; esac
done

wanted() { case "$only" in "  " | *" $1 "*) ;; *) return 1 ;; esac; }

with_std() {  # datasets of a robot's behaviour policy with another sigma: collected if missing, and named
    wanted "sigma_$1" || return 0
    env=$1
    shift
    for std in "$@"; do
        file="$dir/data/${env}_std$std.npz"
        [ -e "$file" ] || python "$here/../run.py" --mode collect --env "$env" --std "$std" --n_train 100000 \
            --threads 1 --out "$file" >&2
        echo "$file"
    done
}

sweep() {
    name=$1
    shift
    wanted "$name" || return 0
    # shellcheck disable=SC2086  # several words, or none
    python "$here/sweep.py" "$dir/$name" ${SWEEP-} "$@"
}
mkdir -p "$dir/offline"
sweeps
